// Command dashboard draws the chart's Grafana dashboard, without Grafana, from a Prometheus that has read real replicas.
//
// By itself it starts a control plane with the chart and two replicas, has agents and a person do what they do, and has
// Prometheus scrape all that and evaluate the chart's alerts. It asks every query of every panel by Prometheus's HTTP API, as
// Grafana would for the span that is shown, and draws what is answered as an SVG: docs/dashboard.svg, and pages below dist.
// Then it breaks one thing after the other until each alert has fired. It ends with an error where a query fails, a panel
// that should have data has none, or an alert does not fire.
//
// "dashboard draw --prometheus URL" draws the dashboard from another Prometheus, and does nothing else.
package main
