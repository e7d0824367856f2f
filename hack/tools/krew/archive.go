package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// pack writes files into an archive and returns its SHA-256. The same files give the same archive: it has no times and no
// owners.
func pack(archive string, files []string) (sum string, err error) {
	out, err := os.Create(archive)
	if err != nil {
		return "", fmt.Errorf("creating the archive: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	hash := sha256.New()
	zip := gzip.NewWriter(io.MultiWriter(out, hash))
	tape := tar.NewWriter(zip)
	for _, file := range files {
		if err := add(tape, file); err != nil {
			return "", fmt.Errorf("packing %s: %w", file, err)
		}
	}
	if err := errors.Join(tape.Close(), zip.Close()); err != nil {
		return "", fmt.Errorf("closing the archive: %w", err)
	}
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}

func add(tape *tar.Writer, file string) (err error) {
	in, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	mode := int64(0o644)
	if info.Mode()&0o100 != 0 {
		mode = 0o755
	}
	if err := tape.WriteHeader(&tar.Header{Name: filepath.Base(file), Mode: mode, Size: info.Size(), Format: tar.FormatUSTAR}); err != nil {
		return fmt.Errorf("writing the header: %w", err)
	}
	if _, err := io.Copy(tape, in); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}
