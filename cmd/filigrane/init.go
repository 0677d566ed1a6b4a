package main

import (
	"bytes"
	"errors"
	"path/filepath"
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
	return `Draws a new master key, unless FILIGRANE_KEY or --key-command gives one: then the key stays where it is and only its fingerprint is written. A master.key that lies in the folder already is opened and used as it is, never written over: so a bank begins again from its backups, as 'filigrane backup --help' says. Back up master.key: without it no mark is ever found again, and whoever has it can forge marks.

` + registryHelp + ` The same bank on another machine is the same tenant: put the same master.key into the folder or give the same FILIGRANE_KEY, and the same --bank, --registry and, if it has one that is not made of its name, --tenant.

Example: filigrane init bank --bank "Example Bank"
Example: filigrane init bank --bank "Example Bank" --registry postgres://filigrane@db.example.org/filigrane`
}

// Run makes the workspace and prints what was made.
func (c *initCmd) Run(s *session) error {
	bank := norm.NFC.String(c.Bank)
	if err := workspace.CheckBank(bank); err != nil {
		return inputError{err}
	}
	key, err := c.key(s)
	if err != nil {
		return err
	}
	ws, err := c.make(s, workspace.Config{Bank: bank, KeyFingerprint: key.key.Fingerprint(), Tenant: norm.NFC.String(c.Tenant)}, key.text)
	if err != nil {
		return err
	}
	if key.found {
		s.note("the master.key that was in %s is that of the workspace; it was not changed", ws.Dir())
	}
	if key.text != nil {
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
	}{ws.Dir(), ws.Bank(), ws.Tenant(), ws.Registry(), ws.KeyFingerprint(), key.source, key.sealed})
}

// initKey is the master key of a workspace that is being made.
type initKey struct {
	masterKey
	text          []byte // of the file to write, nil for none
	found, sealed bool   // as master.key in the folder; under a passphrase
}

// key finds the master key: outside, else in the folder, else it draws one.
func (c *initCmd) key(s *session) (k initKey, err error) {
	if k.key, k.source, err = s.outsideKey(); err != nil {
		return k, err
	}
	if outside := k.source; outside != "" {
		if exists(filepath.Join(c.Dir, fromFile)) && !exists(filepath.Join(c.Dir, "filigrane.json")) {
			return k, badInput("there are two master keys, that of %s and %s: leave out the one, or move the other away; nothing was made", outside, filepath.Join(c.Dir, fromFile))
		}
		if c.Seal {
			return k, badInput("--seal is for a key in the workspace, but the key comes from %s", outside)
		}
		return k, nil
	}
	k.source = fromFile
	if k.key, k.found, k.sealed, err = workspace.FoundKey(c.Dir, s.passphrase); err != nil || k.found {
		if err == nil && c.Seal && !k.sealed {
			err = badInput("--seal is for a new key, but %s is there already and stays as it is: leave --seal out", filepath.Join(c.Dir, fromFile))
		}
		return k, err
	}
	pass, err := c.passphrase(s)
	if err != nil {
		return k, err
	}
	k.key = workspace.NewMasterKey()
	if k.sealed = pass != nil; k.sealed {
		k.text = workspace.SealKey(k.key, pass)
	} else {
		k.text = workspace.PlainKey(k.key)
	}
	return k, nil
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
