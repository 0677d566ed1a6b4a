package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/ingest/optout"
	banktable "github.com/filigrane/filigrane/internal/ingest/table"
)

// mostTable is the largest table that is kept in the registry, in bytes. Of a larger one a note is kept, and it has to be given
// with every import: without it all that it says would be taken back.
const mostTable = 64 << 20

const tooLargeNote = "filigrane: this table was too large to be kept: "

// table reads the table given, or the one kept; nil if there is none. The caller closes it.
func (c *importCmd) table(s *session, r *records, now time.Time) (*banktable.Table, error) {
	name, flag := c.CSV, "--csv"
	if c.JSONL != "" {
		name, flag = c.JSONL, "--jsonl"
	}
	if name == "" {
		return c.keptTable(s, r)
	}
	tab, err := banktable.Read(s.ctx, func() (io.ReadCloser, error) { return os.Open(name) }, banktable.Options{})
	if err != nil {
		return nil, tableError(s.ctx, fmt.Sprintf("%s %s", flag, name), err)
	}
	if (tab.Format == "jsonl") != (flag == "--jsonl") {
		tab.Close()
		return nil, badInput("%s %s: it is %s; use the other flag", flag, name, tab.Format)
	}
	if err := keepTable(s, r, name, now); err != nil {
		tab.Close()
		return nil, err
	}
	return tab, nil
}

func tableError(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return badInput("%s: %w", what, err)
}

// whole refuses a table and rules with a part of the masters: they would replace those of the whole bank, and be applied to
// that part only.
func (c *importCmd) whole(from *origin) error {
	if from.folder == "" {
		return nil
	}
	for _, f := range []struct{ flag, value string }{{"--csv", c.CSV}, {"--jsonl", c.JSONL}, {"--tdmrep", c.TDMRep}, {"--rsl", c.RSL}, {"--site-prefix", c.SitePrefix}} {
		if f.value != "" {
			return badInput("%s is for all masters, and %s is a part of them: import %s with it", f.flag, from.shown, from.root)
		}
	}
	return nil
}

// keepable refuses a table that a worker would not find again, before it takes the place of the one that is kept.
func (c *importCmd) keepable() error {
	name := c.CSV + c.JSONL // one of them at most
	if name == "" {
		return nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return inputError{err}
	}
	if info.Size() > mostTable {
		return badInput("--detach: the table %s has %d bytes, more than the %d that are kept for a worker; import without --detach", name, info.Size(), int64(mostTable))
	}
	return nil
}

// keepTable keeps a table in the registry for the imports to come.
func keepTable(s *session, r *records, name string, now time.Time) error {
	f, err := os.Open(name)
	if err != nil {
		return inputError{err}
	}
	defer f.Close()
	var kept bytes.Buffer
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(&kept, hash), io.LimitReader(f, mostTable+1))
	if err != nil {
		return inputError{err}
	}
	if n > mostTable {
		rest, err := io.Copy(hash, f)
		if err != nil {
			return inputError{err}
		}
		kept.Reset()
		fmt.Fprintf(&kept, "%s%d bytes, SHA-256 %x\n", tooLargeNote, n+rest, hash.Sum(nil))
		s.note("the table has %d bytes, more than the %d that are kept: give it with every import", n+rest, int64(mostTable))
	}
	_, err = r.reg.SetBankTable(s.ctx, r.scope, kept.Bytes(), now)
	return err
}

func (c *importCmd) keptTable(s *session, r *records) (*banktable.Table, error) {
	text, found, err := r.reg.BankTable(s.ctx, r.scope)
	if err != nil || !found {
		return nil, err
	}
	if note, large := strings.CutPrefix(string(text[:min(len(text), 500)]), tooLargeNote); large {
		return nil, badInput("the bank's table was too large to be kept (%s): give it again with --csv or --jsonl", strings.TrimSpace(note))
	}
	tab, err := banktable.Read(s.ctx, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }, banktable.Options{})
	if err != nil {
		return nil, tableError(s.ctx, "the bank's table, as kept", err)
	}
	return tab, nil
}

// Names under which rules about the bank's site are kept, and what the evidence calls them.
const (
	tdmrepRules = "tdmrep"
	rslRules    = "rsl"
	sitePrefix  = "prefix"
)

// rules reads the rules about the bank's site, those given or those kept: what was reserved once is not set free by a flag that is
// left out.
func (c *importCmd) rules(s *session, r *records, opt *ingest.Options, now time.Time) error {
	prefix := c.SitePrefix
	for _, rule := range []struct {
		name, file, flag string
		parse            func([]byte, string) (*optout.Site, error)
	}{{tdmrepRules, c.TDMRep, "--tdmrep", optout.ParseTDMRep}, {rslRules, c.RSL, "--rsl", optout.ParseRSL}} {
		text, found, err := r.rule(s, rule.name, rule.file, rule.flag, now)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		site, err := rule.parse(text, rule.name)
		if err != nil {
			return badInput("%s: %w", rule.flag, err)
		}
		opt.Sites = append(opt.Sites, site)
		if rule.file != "" { // only what can be read is kept
			if _, err := r.reg.SetSiteRules(s.ctx, r.scope, rule.name, text, now); err != nil {
				return err
			}
		}
	}
	if prefix == "" {
		kept, _, err := r.reg.SiteRules(s.ctx, r.scope, sitePrefix)
		if err != nil {
			return err
		}
		prefix = string(kept)
	} else {
		if !strings.HasPrefix(prefix, "/") || len(prefix) > 1024 {
			return badInput("--site-prefix %.80s: it begins with /", prefix)
		}
		if _, err := r.reg.SetSiteRules(s.ctx, r.scope, sitePrefix, []byte(prefix), now); err != nil {
			return err
		}
	}
	prefix = strings.TrimSuffix(prefix, "/")
	opt.SitePath = func(name string) string { return prefix + "/" + name }
	return nil
}

// rule gives the text of a file of rules, or what is kept.
func (r *records) rule(s *session, name, file, flag string, now time.Time) (text []byte, found bool, err error) {
	if file == "" {
		return r.reg.SiteRules(s.ctx, r.scope, name)
	}
	if text, err = readLimited(file, 8<<20); err != nil {
		return nil, false, badInput("%s: %w", flag, err)
	}
	return text, true, nil
}
