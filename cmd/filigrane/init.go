package main

import (
	"bytes"
	"errors"

	"golang.org/x/text/unicode/norm"

	"github.com/filigrane/filigrane/internal/workspace"
)

// initCmd is "filigrane init".
type initCmd struct {
	Dir  string `arg:"" optional:"" default:"." help:"Where to make the workspace."`
	Bank string `required:"" placeholder:"NAME" help:"The image bank's name. It goes into every key and cannot be changed."`
	Seal bool   `help:"Seal the master key under a passphrase: FILIGRANE_PASSPHRASE, or asked for on the terminal. Implied where the variable is set."`
}

// Help gives an example.
func (initCmd) Help() string {
	return `Draws a new master key, unless FILIGRANE_KEY or --key-command gives one: then the key stays where it is and only its fingerprint is written. Back up master.key: without it no mark is ever found again, and whoever has it can forge marks.

Example: filigrane init bank --bank "Example Bank"`
}

// Run makes the workspace and prints what was made.
func (c *initCmd) Run(s *session) error {
	bank := norm.NFC.String(c.Bank)
	if err := workspace.CheckBank(bank); err != nil {
		return inputError{err}
	}
	key, source, err := s.outsideKey()
	if err != nil {
		return err
	}
	var text []byte
	sealed := false
	if source == "" {
		key, source = workspace.NewMasterKey(), fromFile
		pass, err := c.passphrase(s)
		if err != nil {
			return err
		}
		if sealed = pass != nil; sealed {
			text = workspace.SealKey(key, pass)
		} else {
			text = workspace.PlainKey(key)
		}
	} else if c.Seal {
		return badInput("--seal is for a key in the workspace, but the key comes from %s", source)
	}
	ws, err := workspace.Init(c.Dir, bank, key.Fingerprint(), text)
	if err != nil {
		return err
	}
	if text != nil {
		s.note("back up master.key in %s now: without it no mark is ever found again", ws.Dir())
	}
	return s.emit(struct {
		Workspace   string `json:"workspace"`
		Bank        string `json:"bank"`
		Fingerprint string `json:"key_fingerprint"`
		Key         string `json:"key"`
		Sealed      bool   `json:"sealed"`
	}{ws.Dir(), ws.Bank(), ws.KeyFingerprint(), source, sealed})
}

// passphrase gives the passphrase to seal a new key under; nil for none.
func (c *initCmd) passphrase(s *session) ([]byte, error) {
	if p, ok := s.env("FILIGRANE_PASSPHRASE"); ok && p != "" {
		return []byte(p), nil
	}
	if !c.Seal {
		return nil, nil
	}
	first, err := s.ask("New passphrase: ")
	if err != nil {
		return nil, badInput("--seal: %w: set FILIGRANE_PASSPHRASE or run in a terminal", err)
	}
	again, err := s.ask("The same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, again) || len(first) == 0 {
		return nil, inputError{errors.New("the passphrases differ or are empty; nothing was made")}
	}
	return first, nil
}
