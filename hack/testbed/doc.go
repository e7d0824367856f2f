// Package testbed runs Countersign as a cluster does, on one machine: a real control plane, the chart installed by Helm, and
// replicas of the operator, which are processes with the flags of the chart's Deployment and the chart's own service account,
// behind a balancer that stands for the Service. Drills and measurements take place in it.
package testbed
