package main

import "github.com/countersign-dev/countersign/hack/measure"

func main() { measure.Main("drill", drills) }

var drills = []measure.Experiment{
	{Name: "kill", Title: "The operator is killed under load", Plays: playKill},
	{Name: "slow", Title: "etcd is slow", Plays: playSlow},
	{Name: "rotate", Title: "Certificates and their authority are replaced", Plays: playRotate},
	{Name: "rolling", Title: "Three replicas are restarted one after the other", Plays: playRolling},
	{Name: "leader", Title: "The elected replica is killed", Plays: playLeader},
	{Name: "outage", Title: "Everything is down, and the operator does not come back", Plays: playOutage},
	{Name: "starve", Title: "Agents take all seats of the API server", Plays: playStarve},
	{Name: "skew", Title: "Clocks are wrong", Plays: playSkew},
	{Name: "noise", Title: "One agent is refused 10,000 times a minute", Plays: playNoise},
}
