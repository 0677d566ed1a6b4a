package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"syscall"

	"github.com/filigrane/filigrane/internal/jobs"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/workspace"
)

// Exit codes.
const (
	exitOK          = 0
	exitNotFound    = 1
	exitInput       = 2
	exitInternal    = 3
	exitInterrupted = 130
)

// errNotFound ends a run in which nothing was attributed: an answer, not an error.
var errNotFound = errors.New("nothing found")

// errTold ends a run whose wrong inputs were all reported one by one.
var errTold = errors.New("some inputs could not be used")

// inputError is an error of whoever called.
type inputError struct{ error }

func (e inputError) Unwrap() error { return e.error }

// badInput returns an error that ends in exit code 2.
func badInput(format string, args ...any) error { return inputError{fmt.Errorf(format, args...)} }

// codeOf gives the exit code of a verb's error.
func codeOf(err error) int {
	var in inputError
	var reg *workspace.Error
	var pic *raster.Error
	var path *fs.PathError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNotFound):
		return exitNotFound
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EIO):
		return exitInternal
	case errors.Is(err, errTold), registryError(err), errors.As(err, &in), errors.As(err, &reg), errors.As(err, &pic), errors.As(err, &path), errors.Is(err, jobs.ErrFinal):
		return exitInput
	}
	return exitInternal
}

// session is one run of a verb: its surroundings and the flags of every verb.
type session struct {
	globals
	ctx    context.Context
	stdin  io.Reader
	stdout io.Writer
	stderr *console
	env    func(string) (string, bool)
	verb   string
	master masterKey
}

// emit writes one JSON value to standard output, on one line or indented.
func (s *session) emit(v any) error {
	text, err := s.marshal(v)
	if err != nil {
		return err
	}
	_, err = s.stdout.Write(text)
	return err
}

func (s *session) marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if s.Pretty {
		enc.SetIndent("", "  ")
	}
	err := enc.Encode(v)
	return b.Bytes(), err
}

// note writes a remark to standard error, unless --quiet.
func (s *session) note(format string, args ...any) {
	if !s.Quiet {
		fmt.Fprintf(s.stderr, "filigrane: "+format+"\n", args...)
	}
}

// workspace opens the workspace, without its registry.
func (s *session) workspace() (*workspace.Workspace, error) { return workspace.Find(s.Workspace) }

// jobs is how many pictures are worked on at once.
func (s *session) jobs() int {
	if s.Jobs > 0 {
		return s.Jobs
	}
	return runtime.GOMAXPROCS(0)
}

// errorJSON is how a file that could not be used is reported.
type errorJSON struct {
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// errorOf describes an error about a picture.
func errorOf(err error) *errorJSON {
	var e *raster.Error
	if errors.As(err, &e) {
		return &errorJSON{string(e.Kind), e.Detail}
	}
	return &errorJSON{"refused", oneLine(err)}
}
