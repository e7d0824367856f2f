package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
)

const (
	workDirPattern = "countersign-plane-"
	// A work directory is in use as long as a process holds its lock, and kept
	// for people when it has the mark.
	lockName = "lock"
	keepMark = "keep"
)

// prepare creates the work directory with everything the components read.
func (p *Plane) prepare() error {
	if err := p.createWorkDir(); err != nil {
		return err
	}
	var err error
	if p.unlock, err = tryLock(filepath.Join(p.workDir, lockName)); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(p.workDir, "logs"), 0o700); err != nil {
		return fmt.Errorf("creating the log directory (a work directory is used once): %w", err)
	}
	if p.opts.KeepAlive || p.opts.WorkDir != "" {
		p.KeepWorkDir()
	}
	if err := os.WriteFile(filepath.Join(p.workDir, "audit-policy.yaml"), auditPolicy, 0o600); err != nil {
		return fmt.Errorf("writing the audit policy: %w", err)
	}
	if p.pki, err = newPKI(filepath.Join(p.workDir, "pki")); err != nil {
		return err
	}
	return p.linkBinaries()
}

func (p *Plane) createWorkDir() error {
	if p.opts.WorkDir == "" {
		sweep(os.TempDir())
		dir, err := os.MkdirTemp("", workDirPattern)
		if err != nil {
			return fmt.Errorf("creating the work directory: %w", err)
		}
		p.workDir = dir
		return nil
	}
	dir, err := filepath.Abs(p.opts.WorkDir)
	if err != nil {
		return fmt.Errorf("creating the work directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("creating the work directory: %w", err)
	}
	p.workDir = dir
	return nil
}

// linkBinaries collects the binaries, which the cache keeps by module, in one
// directory.
func (p *Plane) linkBinaries() error {
	if err := os.Mkdir(p.BinDir(), 0o700); err != nil {
		return fmt.Errorf("linking binaries: %w", err)
	}
	for _, pinned := range catalog {
		for _, bin := range pinned.binaries {
			if err := os.Symlink(*bin.dest(&p.binaries), filepath.Join(p.BinDir(), bin.name)); err != nil {
				return fmt.Errorf("linking binaries: %w", err)
			}
		}
	}
	return nil
}

// KeepWorkDir leaves the work directory to people; nothing removes it any more.
func (p *Plane) KeepWorkDir() {
	p.keep = true
	_ = os.WriteFile(filepath.Join(p.workDir, keepMark), nil, 0o600)
}

// sweep removes work directories of processes that ended without Stop: a test
// that panics or times out, or a killed one.
func sweep(tmp string) {
	dirs, _ := filepath.Glob(filepath.Join(tmp, workDirPattern+"*"))
	for _, dir := range dirs {
		if exists(filepath.Join(dir, keepMark)) || !exists(filepath.Join(dir, lockName)) {
			continue
		}
		if unlock, err := tryLock(filepath.Join(dir, lockName)); err == nil {
			_ = os.RemoveAll(dir)
			unlock()
		}
	}
}
