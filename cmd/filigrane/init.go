package main

import (
	"bytes"
	"errors"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/workspace"
)

// initCmd is "filigrane init".
type initCmd struct {
	Dir    string `arg:"" optional:"" default:"." help:"Where to make the workspace."`
	Bank   string `required:"" placeholder:"NAME" help:"The image bank's name. It goes into every key and cannot be changed."`
	Tenant string `placeholder:"ID" help:"The bank's id in the registry. Default: made of its name."`
	Seal   bool   `help:"Seal the master key under a passphrase: FILIGRANE_PASSPHRASE, or asked for on the terminal. Implied where the variable is set."`
}

// Help gives an example.
func (initCmd) Help() string {
	return `Draws a new master key, unless FILIGRANE_KEY or --key-command gives one: then the key stays where it is and only its fingerprint is written. Back up master.key: without it no mark is ever found again, and whoever has it can forge marks.

` + registryHelp + ` The same bank on another machine is the same tenant: give the same key, the same --bank and the same --registry.

Example: filigrane init bank --bank "Example Bank"
Example: filigrane init bank --bank "Example Bank" --registry postgres://filigrane@db.example.org/filigrane`
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
	ws, err := c.make(s, workspace.Config{Bank: bank, KeyFingerprint: key.Fingerprint(), Tenant: norm.NFC.String(c.Tenant)}, text)
	if err != nil {
		return err
	}
	if text != nil {
		s.note("back up master.key in %s now: without it no mark is ever found again", ws.Dir())
	}
	return s.emit(struct {
		Workspace   string `json:"workspace"`
		Bank        string `json:"bank"`
		Tenant      string `json:"tenant"`
		Registry    string `json:"registry"`
		Fingerprint string `json:"key_fingerprint"`
		Key         string `json:"key"`
		Sealed      bool   `json:"sealed"`
	}{ws.Dir(), ws.Bank(), ws.Tenant(), ws.Registry(), ws.KeyFingerprint(), source, sealed})
}

// make makes the workspace, and the bank a tenant of its registry.
func (c *initCmd) make(s *session, config workspace.Config, keyText []byte) (*workspace.Workspace, error) {
	if config.Tenant == "" {
		config.Tenant = workspace.TenantOf(config.Bank)
	}
	if err := workspace.CheckTenant(config.Tenant); err != nil {
		return nil, badInput("--tenant: %w", err)
	}
	if s.Registry != "" {
		var err error
		if config.Registry, err = s.keptAddress(s.Registry); err != nil {
			return nil, err
		}
	}
	return workspace.Init(c.Dir, config, keyText, func(ws *workspace.Workspace) error {
		reg, err := s.openRegistry(s.registryOf(ws))
		if err != nil {
			return err
		}
		defer reg.Close()
		return enrol(s.ctx, reg, registry.Scope{Tenant: config.Tenant, Role: registry.Bank}, config.Bank, config.KeyFingerprint, time.Now())
	})
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
