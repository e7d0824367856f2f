package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/countersign-dev/countersign/hack/controlplane"
)

// storage writes into etcd what an API server has stored elsewhere, under other names: a hundred thousand objects take
// seconds so, and many minutes through the API. The API server sees them by its watch, as those that another one writes.
type storage struct {
	address string
	http    *http.Client
}

func newStorage(plane *controlplane.Plane) (*storage, error) {
	address, config, err := plane.Storage()
	if err != nil {
		return nil, err
	}
	return &storage{address: address, http: &http.Client{Transport: &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: false, MaxIdleConnsPerHost: storageWriters,
	}}}, nil
}

const (
	// storageBatch is how many objects one transaction of etcd takes: its default bound is 128 operations.
	storageBatch = 100
	// storageWriters is how many transactions are under way at once.
	storageWriters = 4
)

// pair is a key of etcd and its value.
type pair struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

// get reads the value of a key.
func (s *storage) get(ctx context.Context, key string) ([]byte, error) {
	var answer struct{ Kvs []pair }
	if err := s.ask(ctx, "range", pair{Key: []byte(key)}, &answer); err != nil {
		return nil, err
	}
	if len(answer.Kvs) != 1 {
		return nil, fmt.Errorf("reading %s from etcd: there are %d", key, len(answer.Kvs))
	}
	return answer.Kvs[0].Value, nil
}

// fill writes n objects, of which make gives key and value.
func (s *storage) fill(ctx context.Context, n int, object func(i int) pair) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(storageWriters)
	for from := 0; from < n; from += storageBatch {
		group.Go(func() error {
			type put struct {
				Request pair `json:"requestPut"`
			}
			var transaction struct {
				Success []put `json:"success"`
			}
			for i := from; i < min(n, from+storageBatch); i++ {
				transaction.Success = append(transaction.Success, put{object(i)})
			}
			var answer struct{ Succeeded bool }
			if err := s.ask(ctx, "txn", transaction, &answer); err != nil {
				return err
			}
			if !answer.Succeeded {
				return fmt.Errorf("writing into etcd: the transaction did not succeed")
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("filling the storage: %w", err)
	}
	return nil
}

// clear removes all keys with a prefix.
func (s *storage) clear(ctx context.Context, prefix string) error {
	end := []byte(prefix)
	end[len(end)-1]++
	var answer struct{}
	return s.ask(ctx, "deleterange", map[string]string{
		"key": base64.StdEncoding.EncodeToString([]byte(prefix)), "range_end": base64.StdEncoding.EncodeToString(end),
	}, &answer)
}

// ask uses etcd's JSON gateway.
func (s *storage) ask(ctx context.Context, what string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("asking etcd: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address+"/v3/kv/"+what, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking etcd: %w", err)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return fmt.Errorf("asking etcd: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("asking etcd: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("asking etcd: %s: %s", response.Status, text)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("asking etcd: %w", err)
	}
	return nil
}
