package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

// scrape is how often Prometheus reads, and evaluates the alerts.
const scrape = 2 * time.Second

// server is a Prometheus of its own, which reads the replicas and the API server.
type server struct {
	prometheus
	dir     string
	command *exec.Cmd
	done    chan struct{}
}

// configuration has the labels that the ServiceMonitor of the chart gives to targets, and of the API server's metrics, which
// are many, what the dashboard and the alerts read.
const configuration = `global: {scrape_interval: %[1]s, scrape_timeout: %[1]s, evaluation_interval: %[1]s}
rule_files: [rules.yaml]
scrape_configs:
- job_name: countersign-metrics
  file_sd_configs: [{files: [replicas.json], refresh_interval: 1s}]
- job_name: apiserver
  scheme: https
  tls_config: {ca_file: ca.crt, cert_file: tls.crt, key_file: tls.key}
  static_configs: [{targets: [%[2]q]}]
  metric_relabel_configs:
  - {source_labels: [__name__], regex: "apiserver_admission_webhook_.*", action: keep}
`

// startPrometheus starts it with alerting rules, below the directory of the run.
func startPrometheus(ctx context.Context, binary, dir string, s *stage, rules []byte) (*server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a directory for Prometheus: %w", err)
	}
	admin := s.Plane.AdminConfig()
	host, err := url.Parse(admin.Host)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's address: %w", err)
	}
	for name, content := range map[string][]byte{
		"prometheus.yaml": fmt.Appendf(nil, configuration, scrape, host.Host), "rules.yaml": rules, "replicas.json": []byte("[]"),
		"ca.crt": admin.CAData, "tls.crt": admin.CertData, "tls.key": admin.KeyData,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, fmt.Errorf("configuring Prometheus: %w", err)
		}
	}
	address, err := testbed.FreeAddress()
	if err != nil {
		return nil, err
	}
	p := &server{prometheus: prometheus{"http://" + address}, dir: dir, done: make(chan struct{})}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, fmt.Errorf("opening the log of Prometheus: %w", err)
	}
	p.command = exec.Command(binary, "--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--web.listen-address="+address)
	p.command.Dir, p.command.Stdout, p.command.Stderr = dir, log, log
	err = testbed.StartChild(p.command, func() {
		_ = log.Close()
		close(p.done)
	})
	if err != nil {
		return nil, fmt.Errorf("starting Prometheus (make dashboard builds it): %w", err)
	}
	return p, measure.Wait(ctx, "Prometheus answers", time.Minute, func(ctx context.Context) error {
		select {
		case <-p.done:
			return errors.New("it has ended; its log is " + log.Name())
		default:
		}
		_, err := p.query(ctx, "query", url.Values{"query": {"vector(1)"}})
		return err
	})
}

// follow has Prometheus read these replicas from now on, as pods of the release.
func (p *server) follow(replicas []*testbed.Replica) error {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := []group{}
	for i, r := range replicas {
		groups = append(groups, group{[]string{r.Metrics}, map[string]string{
			"namespace": testbed.Namespace, "pod": fmt.Sprintf("countersign-%d", i+1), "service": "countersign-metrics",
			"endpoint": "metrics", "container": "countersign",
		}})
	}
	content, err := json.Marshal(groups)
	if err != nil {
		return fmt.Errorf("configuring Prometheus: %w", err)
	}
	path := filepath.Join(p.dir, "replicas.json")
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return fmt.Errorf("configuring Prometheus: %w", err)
	}
	return os.Rename(path+".new", path)
}

// end lets Prometheus write what it has, so that it can be read again.
func (p *server) end() {
	_ = p.command.Process.Signal(os.Interrupt) // it may have ended
	<-p.done
}
