package command

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/countersign-dev/countersign/internal/definitions"
	"github.com/countersign-dev/countersign/internal/support"
)

// mostSkew is how far the clocks may differ before times that are shown here mislead.
const mostSkew = 2 * time.Second

// server looks at the API server's version and clock.
func (d *doctor) server(ctx context.Context) {
	info, date, err := askVersion(ctx, d.config)
	if err != nil {
		d.unknown(err, "the API server does not say its version")
		return
	}
	d.version(support.Of(info.GitVersion))
	at, err := http.ParseTime(date)
	if err != nil {
		d.unknown(err, "the API server does not say what time it is")
		return
	}
	d.skew = d.e.Now().Sub(at)
	if off := d.skew.Abs().Truncate(time.Second); off > mostSkew {
		d.warn("timedatectl set-ntp true", "the clock here is %s away from the API server's: times that are shown are wrong by that", off)
	} else {
		d.ok("the clock here is that of the API server")
	}
}

// version says which Kubernetes it is, and what this version lacks.
func (d *doctor) version(server support.Server) {
	lacks := strings.Join(append([]string{""}, server.Notes()...), "; ")
	switch server.Standing {
	case support.Tested, support.Newer:
		d.ok("Kubernetes is %s, and Countersign needs %s.0 or later%s", server.Version, support.Oldest, lacks)
	case support.TooOld:
		d.fail("", "Kubernetes is %s: upgrade the cluster%s", server.Version, lacks)
	case support.Unreadable:
		d.unknown(fmt.Errorf("it is %q", server.Version), "the version of the API server cannot be read")
	default:
		d.unknown(fmt.Errorf("it is %q", server.Standing), "the version of the API server cannot be judged")
	}
}

// askVersion asks the API server for its version, and what time it has.
func askVersion(ctx context.Context, config *rest.Config) (info apiversion.Info, date string, err error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return info, "", fmt.Errorf("connecting: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(config.Host, "/")+"/version", http.NoBody)
	if err != nil {
		return info, "", fmt.Errorf("asking for the version: %w", err)
	}
	answer, err := client.Do(request)
	if err != nil {
		return info, "", fmt.Errorf("asking for the version: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return info, "", fmt.Errorf("asking for the version: the answer is %s", answer.Status)
	}
	if err := json.NewDecoder(answer.Body).Decode(&info); err != nil {
		return info, "", fmt.Errorf("reading the version: %w", err)
	}
	return info, answer.Header.Get("Date"), nil
}

// compareVersions is what to do where the plugin may be too old.
const compareVersions = "kubectl countersign version"

// definitions looks at what Countersign's kinds rest on: the operator refuses agents everything where that has changed.
func (d *doctor) definitions(ctx context.Context) {
	want, err := definitions.Read()
	if err != nil {
		d.unknown(err, "the definitions of this plugin")
		return
	}
	client, err := dynamic.NewForConfig(d.config)
	if err != nil {
		d.unknown(err, "the definitions cannot be looked at")
		return
	}
	good, missing := 0, 0
	names := append([]string{definitions.Service}, definitions.Names...)
	for _, name := range names {
		found, err := client.Resource(definitions.Resource(name)).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			missing++
			continue
		case err != nil:
			d.defined = true // as far as one knows
			d.unknown(err, "the definitions of Countersign's kinds cannot be looked at")
			return
		}
		d.defined = true
		if problem := definitions.Problem(found, want[name]); problem != "" {
			d.fail(d.redefine(), "%s is not what this plugin knows, and an operator as new as the plugin refuses agents everything for it: %s",
				name, problem)
			continue
		}
		if definitions.Later(found, want[name]) {
			d.warn(compareVersions, "%s is of a later version than this plugin, which leaves out what objects say in fields that it does not know",
				name)
			continue
		}
		good++
	}
	switch {
	case missing == len(names):
		d.fail(d.upgrade("--create-namespace"), "Countersign is not installed: the cluster does not serve its kinds")
	case missing > 0:
		d.fail(d.redefine(), "of the definitions of Countersign's kinds %d are missing", missing)
	case good == len(names):
		d.ok("Countersign's kinds are as this plugin knows them, and served by the API server itself")
	}
}
