package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/term"

	"github.com/filigrane/filigrane/internal/workspace"
	"github.com/filigrane/filigrane/mark"
)

// keysCmd is "filigrane keys".
type keysCmd struct {
	Fingerprint fingerprintCmd `cmd:"" help:"Print the public fingerprint of the master key."`
}

// Help explains where keys come from.
func (keysCmd) Help() string {
	return `The master key comes from one of:

  FILIGRANE_KEY           a variable: 64 hex digits
  --key-command CMD       a command whose output is 64 hex digits, such as a vault's client
  master.key              in the workspace, mode 0600; sealed where a passphrase is in use

The passphrase is FILIGRANE_PASSPHRASE, or is asked for on the terminal. A key is never given on the command line, and never printed.

Example: filigrane keys fingerprint --key-command 'vault kv get -field=key secret/filigrane'`
}

// fingerprintCmd is "filigrane keys fingerprint".
type fingerprintCmd struct{}

// Help gives an example.
func (fingerprintCmd) Help() string {
	return `Example: filigrane keys fingerprint
  {"fingerprint":"c59b8f0ba8f3e2a1","source":"master.key","workspace":"c59b8f0ba8f3e2a1","matches":true}`
}

// Run prints the fingerprint of the key in use beside the workspace's.
func (fingerprintCmd) Run(s *session) error {
	ws, wsErr := s.workspace()
	if wsErr != nil && workspace.KindOf(wsErr) != workspace.KindNoWorkspace {
		return wsErr
	}
	key, source, err := s.key(ws)
	if err != nil {
		return err
	}
	out := struct {
		Fingerprint string `json:"fingerprint"`
		Source      string `json:"source"`
		Workspace   string `json:"workspace,omitempty"`
		Matches     *bool  `json:"matches,omitempty"`
	}{Fingerprint: key.Fingerprint(), Source: source}
	if ws != nil {
		same := ws.KeyFingerprint() == out.Fingerprint
		out.Workspace, out.Matches = ws.KeyFingerprint(), &same
	}
	return s.emit(out)
}

// Sources of a master key.
const (
	fromVariable = "FILIGRANE_KEY"
	fromCommand  = "--key-command"
	fromFile     = "master.key"
)

// key gives the master key in use and where it came from. ws may be nil: then only a variable or a command
// can give it.
//
// It is asked for once in a run: a command may want a token touched, a passphrase takes a second.
func (s *session) key(ws *workspace.Workspace) (mark.Key, string, error) {
	if s.master.source == "" {
		key, source, err := s.findKey(ws)
		if err != nil {
			return key, source, err
		}
		s.master = masterKey{key, source}
	}
	return s.master.key, s.master.source, nil
}

// masterKey is a key and where it came from.
type masterKey struct {
	key    mark.Key
	source string // "" before it was found
}

func (s *session) findKey(ws *workspace.Workspace) (mark.Key, string, error) {
	key, source, err := s.outsideKey()
	if err != nil || source != "" {
		return key, source, err
	}
	if ws == nil {
		return mark.Key{}, "", badInput("no master key: name a workspace with --workspace, or give the key by FILIGRANE_KEY or --key-command")
	}
	key, err = ws.Key(s.passphrase)
	return key, fromFile, err
}

// outsideKey gives the key of the variable or the command; source is "" if there is neither.
func (s *session) outsideKey() (key mark.Key, source string, err error) {
	text, set := s.env(fromVariable)
	switch {
	case set && text != "" && s.KeyCommand != "":
		return key, "", badInput("two master keys: FILIGRANE_KEY is set and --key-command is given; remove one")
	case set && text != "":
		key, err = workspace.ParseHexKey(text)
		if err != nil {
			return key, "", badInput("FILIGRANE_KEY: %w", err)
		}
		return key, fromVariable, nil
	case s.KeyCommand != "":
		key, err = s.commandKey()
		return key, fromCommand, err
	}
	return key, "", nil
}

// keyCommandTime is how long a key command may take: somebody may have to touch a token.
const keyCommandTime = 2 * time.Minute

func (s *session) commandKey() (mark.Key, error) {
	ctx, cancel := context.WithTimeout(s.ctx, keyCommandTime)
	defer cancel()
	shell, flag := "/bin/sh", "-c"
	if runtime.GOOS == "windows" {
		shell, flag = "cmd", "/c"
	}
	cmd := exec.CommandContext(ctx, shell, flag, s.KeyCommand)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, s.stderr
	if err := cmd.Run(); err != nil {
		return mark.Key{}, badInput("--key-command failed: %w", err)
	}
	key, err := workspace.ParseHexKey(out.String())
	if err != nil {
		return mark.Key{}, badInput("--key-command: %w", err)
	}
	return key, nil
}

// embeddingKey is key for verbs that make marks: a key other than the workspace's would make marks that
// nobody finds again, so it is refused.
func (s *session) embeddingKey(ws *workspace.Workspace) (mark.Key, error) {
	key, source, err := s.key(ws)
	if err != nil {
		return key, err
	}
	if f := key.Fingerprint(); f != ws.KeyFingerprint() {
		return key, badInput("the key of %s (%s) is not this workspace's (%s): marks made with it would not be found again", source, f, ws.KeyFingerprint())
	}
	return key, nil
}

// detectingKey is key for detection, where a wrong key is allowed and finds nothing.
func (s *session) detectingKey(ws *workspace.Workspace) (mark.Key, error) {
	key, source, err := s.key(ws)
	if err == nil && ws != nil && key.Fingerprint() != ws.KeyFingerprint() {
		s.note("the key of %s (%s) is not this workspace's (%s); its marks cannot be found with it", source, key.Fingerprint(), ws.KeyFingerprint())
	}
	return key, err
}

var errNoPassphrase = errors.New("a passphrase is needed")

// passphrase gives FILIGRANE_PASSPHRASE, or asks on the terminal.
func (s *session) passphrase() ([]byte, error) {
	if p, ok := s.env("FILIGRANE_PASSPHRASE"); ok && p != "" {
		return []byte(p), nil
	}
	return s.ask("Passphrase of the master key: ")
}

// ask reads a line from the terminal without showing it.
func (s *session) ask(prompt string) ([]byte, error) {
	f, ok := s.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, errNoPassphrase
	}
	fmt.Fprint(s.stderr, prompt)
	defer fmt.Fprintln(s.stderr)
	return term.ReadPassword(int(f.Fd()))
}
