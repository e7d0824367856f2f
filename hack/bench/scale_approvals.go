package main

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/measure"
)

// approvalsPoint is what was measured with a number of stored approvals.
type approvalsPoint struct {
	ended, pending int
	*footprint
}

// approvalCounts are the points of the curve: how many have ended, and how many wait for people.
var approvalCounts = [][2]int{{1000, 50}, {10_000, 500}, {100_000, 5000}}

func measureApprovals(ctx context.Context, run *measure.Run) error {
	s, err := newScale(ctx, run)
	if err != nil {
		return err
	}
	defer s.bed.Close()
	var points []*approvalsPoint
	for _, n := range approvalCounts {
		if n[0] > run.Largest(approvalCounts[len(approvalCounts)-1][0]) {
			break
		}
		p, err := s.measureApprovals(ctx, n[0], n[1])
		if err != nil {
			return fmt.Errorf("with %d approvals: %w", n[0], err)
		}
		points = append(points, p)
	}
	s.reportApprovals(run, points)
	return nil
}

func (s *scale) measureApprovals(ctx context.Context, ended, pending int) (*approvalsPoint, error) {
	if err := s.reset(ctx); err != nil {
		return nil, err
	}
	if err := s.fillPolicies(ctx, 10); err != nil {
		return nil, err
	}
	if err := s.fillApprovals(ctx, ended, pending); err != nil {
		return nil, err
	}
	if err := s.reread(ctx, &v1alpha1.ActionApprovalList{}, "actionapprovals"); err != nil {
		return nil, err
	}
	p := &approvalsPoint{ended: ended, pending: pending}
	var err error
	p.footprint, err = s.measureStart(ctx, fmt.Sprintf("approvals-%d", ended))
	return p, err
}

func (s *scale) reportApprovals(run *measure.Run, points []*approvalsPoint) {
	r := run.Report
	r.Settingf("one replica, 10 policies; approvals of 1,000 accounts in 100 namespaces, %d bytes each in the storage where they have "+
		"ended and %d where they wait", s.endedSize, s.pendingSize)
	var rows [][]string
	for _, p := range points {
		r.Claim(counted(p.writes, "actionapprovals") == "0", fmt.Sprintf("a restart with %d approvals writes none", p.ended), "%s writes",
			counted(p.writes, "actionapprovals"))
		rows = append(rows, []string{
			fmt.Sprint(p.ended), fmt.Sprint(p.pending), measure.Duration(p.ready), measure.Duration(p.complete),
			p.startCPU.Round(10 * time.Millisecond).String(),
			mib(p.memory), mib(p.peak), fmt.Sprintf("%.1f%%", 100*p.idle), counted(p.writes, "actionapprovals"),
		})
		if p.ended == 100_000 {
			r.Target(max(p.memory, p.peak) <= 256, "with 100,000 stored approvals no more than 256 MiB are resident",
				"%s at rest, %s at most", mib(p.memory), mib(p.peak))
			r.Target(p.ready <= 15*time.Second, "and it is ready within 15 s", "%s", measure.Duration(p.ready))
		}
	}
	r.Table("A restart, and what the process needs after it", []string{
		"ended", "pending", "ready", "all in memory", "CPU time of the start", "resident", "peak", "CPU at rest", "approvals written",
	}, rows)
}
