// Package certificate keeps the webhook's certificates and the installation's hash key as files in one directory,
// wherever they come from: made here for a process outside of a cluster, or copied from a Secret inside of one.
package certificate

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	certutil "k8s.io/client-go/util/cert"
)

// Names of the files in the directory, which are also the keys of the Secret.
const (
	// CertFile and KeyFile are the serving certificate and its key, in PEM.
	CertFile = "tls.crt"
	KeyFile  = "tls.key"
	// CAFile is what the API server must trust, in PEM. In the Secret it is the current authority alone.
	CAFile = "ca.crt"
	// BundleFile is a key of the Secret only: the current authority and those before it, in PEM.
	BundleFile = "ca-bundle.crt"
	// HashKeyFile is the key of the installation under which secret values enter the hashes of actions.
	HashKeyFile = "hash.key"
	// PreviousHashKeyFile is the key that was this before. It need not be there.
	PreviousHashKeyFile = "hash-previous.key"
)

// hashKeySize is the size of a hash key in bytes: that of the output of SHA-256.
const hashKeySize = 32

// Dir is a directory with certificates.
type Dir string

// Make makes the directory where it is absent.
func (d Dir) Make() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("making the certificate directory: %w", err)
	}
	return nil
}

// NewHashKey makes a random key.
func NewHashKey() ([]byte, error) {
	key := make([]byte, hashKeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("making a hash key: %w", err)
	}
	return key, nil
}

// Ensure makes a certificate for a host of its own authority, and a hash key, where the directory has none.
// Several processes may call it at once for one directory: one makes the files, all use them.
func (d Dir) Ensure(host string) error {
	if err := d.Make(); err != nil {
		return err
	}
	if d.Complete() {
		return nil
	}
	cert, key, err := certutil.GenerateSelfSignedCertKey(host, nil, []string{"localhost"})
	if err != nil {
		return fmt.Errorf("making a certificate for %s: %w", host, err)
	}
	hashKey, err := NewHashKey()
	if err != nil {
		return err
	}
	return d.publish(map[string][]byte{CertFile: cert, KeyFile: key, CAFile: cert, HashKeyFile: hashKey})
}

// publish writes a set of files unless another process has: the link to the finished set is made in one step, and
// whoever makes it first wins.
func (d Dir) publish(files map[string][]byte) error {
	set, err := os.MkdirTemp(string(d), ".made-")
	if err != nil {
		return fmt.Errorf("making the certificate directory: %w", err)
	}
	if err := Dir(set).Write(files); err != nil {
		return err
	}
	err = os.Symlink(filepath.Base(set), filepath.Join(string(d), madeLink))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("publishing certificates: %w", err)
	}
	for name := range files {
		err := os.Symlink(filepath.Join(madeLink, name), filepath.Join(string(d), name))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("publishing certificates: %w", err)
		}
	}
	return nil
}

// madeLink points to the set of files that this package made.
const madeLink = "made"

// Write puts those files into the directory that are given, each of them replaced in one step. The key comes before the
// certificate, so that whoever watches the certificate finds its key. A previous hash key without content is taken away.
func (d Dir) Write(files map[string][]byte) error {
	for _, name := range []string{PreviousHashKeyFile, HashKeyFile, CAFile, KeyFile, CertFile} {
		content, given := files[name]
		if !given {
			continue
		}
		write := d.write
		if name == PreviousHashKeyFile && len(content) == 0 {
			write = d.remove
		}
		if err := write(name, content); err != nil {
			return err
		}
	}
	return nil
}

func (d Dir) remove(name string, _ []byte) error {
	if err := os.Remove(filepath.Join(string(d), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return nil
}

// Serving is the certificate that is served, in PEM; nil before there is one.
func (d Dir) Serving() ([]byte, error) {
	cert, err := os.ReadFile(filepath.Join(string(d), CertFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	return cert, nil
}

func (d Dir) write(name string, content []byte) error {
	path := filepath.Join(string(d), name)
	if present, err := os.ReadFile(path); err == nil && bytes.Equal(present, content) {
		return nil
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// Complete says whether all files are there.
func (d Dir) Complete() bool {
	for _, name := range []string{HashKeyFile, CAFile, KeyFile, CertFile} {
		if info, err := os.Stat(filepath.Join(string(d), name)); err != nil || info.Size() == 0 {
			return false
		}
	}
	return true
}

// CABundle is what the API server must trust.
func (d Dir) CABundle() ([]byte, error) {
	bundle, err := os.ReadFile(filepath.Join(string(d), CAFile))
	if err != nil {
		return nil, fmt.Errorf("reading the certificate authority: %w", err)
	}
	return bundle, nil
}

// HashKey is a key under which secret values enter hashes, with a short name that tells it from others.
type HashKey struct {
	ID  string
	Key []byte
}

// HashKeys are the key of the installation and the one before, which is nil where none is kept.
func (d Dir) HashKeys() (current HashKey, previous *HashKey, err error) {
	key, err := os.ReadFile(filepath.Join(string(d), HashKeyFile))
	if err != nil {
		return HashKey{}, nil, fmt.Errorf("reading the hash key: %w", err)
	}
	before, err := os.ReadFile(filepath.Join(string(d), PreviousHashKeyFile))
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && bytes.Equal(before, key):
		return hashKeyOf(key), nil, nil
	case err != nil:
		return HashKey{}, nil, fmt.Errorf("reading the previous hash key: %w", err)
	}
	return hashKeyOf(key), new(hashKeyOf(before)), nil
}

func hashKeyOf(key []byte) HashKey {
	sum := sha256.Sum256(append([]byte("countersign hash key id "), key...))
	return HashKey{ID: hex.EncodeToString(sum[:4]), Key: key}
}
