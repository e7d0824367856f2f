package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the story is told in a zone that the machine may not know

	"github.com/countersign-dev/countersign/hack/controlplane"
)

// stage is what the story is played on.
type stage struct {
	plane    *controlplane.Plane
	operator *operator
	// dir is where commands run, with the manifests; it goes with the plane. binDir has kubectl, helm and countersign.
	dir, binDir string
	kubeconfigs map[string]string
}

// kubeconfigDir is where everybody's kubeconfig is, within the directory of the story.
const kubeconfigDir = "kubeconfigs"

// newStage starts a control plane, builds the operator, and writes the files of the story.
func newStage(ctx context.Context, screen *screen) (*stage, error) {
	location, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("finding the zone of the story: %w", err)
	}
	began := time.Now()
	screen.note("Starting a real control plane with two fake nodes; the first time builds it, in about 12 minutes")
	plane, err := controlplane.Start(ctx, controlplane.Options{Nodes: 2, Out: screen.out})
	if err != nil {
		return nil, err
	}
	s := &stage{
		plane: plane, dir: filepath.Join(plane.WorkDir(), "demo"), binDir: plane.BinDir(), kubeconfigs: map[string]string{},
	}
	now := time.Now().In(location)
	if err := s.prepare(ctx, screen, now); err != nil {
		return nil, errors.Join(err, s.close())
	}
	screen.note("Kubernetes %s is up after %s, it is %s in %s", plane.Binaries().Kubernetes,
		seconds(time.Since(began)), now.Format("Mon 2006-01-02 15:04 MST"), zone)
	return s, nil
}

func (s *stage) prepare(ctx context.Context, screen *screen, now time.Time) error {
	root, err := repository(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.dir, kubeconfigDir), 0o700); err != nil {
		return fmt.Errorf("preparing the story: %w", err)
	}
	if err := writeManifests(s.dir, now); err != nil {
		return err
	}
	for name, target := range map[string]string{"charts": filepath.Join(root, "charts"), "audit.log": s.plane.AuditLog()} {
		if err := os.Symlink(target, filepath.Join(s.dir, name)); err != nil {
			return fmt.Errorf("preparing the story: %w", err)
		}
	}
	screen.note("Building the operator")
	if err := build(ctx, root, filepath.Join(s.binDir, "countersign")); err != nil {
		return err
	}
	s.operator, err = newOperator(s)
	return err
}

// kubeconfig writes it when somebody acts first: service accounts come with the manifests.
func (s *stage) kubeconfig(ctx context.Context, who string) (string, error) {
	if path, ok := s.kubeconfigs[who]; ok {
		return path, nil
	}
	path, err := cast[who].kubeconfig(ctx, s.plane)
	if err != nil {
		return "", err
	}
	// A name that people can type, for whoever keeps the stage.
	short := filepath.Join(s.dir, kubeconfigDir, who)
	if err := os.Symlink(path, short); err != nil {
		return "", fmt.Errorf("linking the kubeconfig of %s: %w", who, err)
	}
	s.kubeconfigs[who] = short
	return short, nil
}

// close ends everything and removes every file.
func (s *stage) close() error {
	if s.operator != nil {
		_ = s.operator.stop(context.Background())
	}
	return s.plane.Stop()
}

// manual says how to use what was left running.
func (s *stage) manual() string {
	names := slices.Sorted(maps.Keys(s.kubeconfigs))
	return fmt.Sprintf(`
Everything runs until Ctrl-C, the release is not uninstalled. In another terminal:

  cd %s
  export PATH=%s:$PATH
  export KUBECONFIG=%s
  kubectl get aap

Others are in %s: %s. Decisions are in %s.
`, s.dir, s.binDir, s.kubeconfigs[admin], kubeconfigDir, strings.Join(names, ", "), decisionLog)
}
