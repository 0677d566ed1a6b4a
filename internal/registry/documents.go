package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Kinds of documents.
const (
	settingKind = "setting" // named below
	storyKind   = "story"   // named by the catalogue version
	tableKind   = "table"   // the bank's
)

// Names of settings and of the bank's table.
const (
	mastersSetting = "masters"
	keySetting     = "key fingerprint"
	bankTable      = "given last"
)

const (
	// partBytes is the most one row holds, compressed.
	partBytes = 1 << 20
	// mostDocument bounds a document: it is held in memory, and so is what it is compressed from.
	mostDocument = 1 << 30
)

var documentsTable = &table{name: "documents", cols: columns("tenant i, part i, changed i, kind t, name t, hash b, data b"),
	order: []string{"tenant", "kind", "name", "part"}}

var (
	documentParts = lookup("parts of a document", "SELECT hash, data FROM documents WHERE tenant = $1 AND kind = $2 AND name = $3 ORDER BY part", int64(1), storyKind, "spring@1")
	documentHash  = lookup("hash of a document", "SELECT hash FROM documents WHERE tenant = $1 AND kind = $2 AND name = $3 AND part = 0", int64(1), storyKind, "spring@1")
)

// putDocument keeps a document. fixed ones never change: ErrConflict.
func (t *tx) putDocument(ctx context.Context, tenant int64, kind, name string, data []byte, fixed bool, now time.Time) (c Changes, err error) {
	if len(data) > mostDocument {
		return c, fmt.Errorf("registry: %s %s has %d bytes: at most %d are kept", kind, name, len(data), mostDocument)
	}
	hash := sha256.Sum256(data)
	var before []byte
	found, err := one(ctx, t, documentHash.text, []any{tenant, kind, name}, &before)
	switch {
	case err != nil:
		return c, err
	case found && bytes.Equal(before, hash[:]):
		return Changes{Unchanged: 1}, nil
	case found && fixed:
		return c, fmt.Errorf("%w: the %s of %s never changes", ErrConflict, kind, name)
	case found:
		c.Changed = 1
		if _, err := t.exec(ctx, "DELETE FROM documents WHERE tenant = $1 AND kind = $2 AND name = $3", tenant, kind, name); err != nil {
			return Changes{}, err
		}
	default:
		c.Added = 1
	}
	packer, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic("registry: " + err.Error()) // only for wrong options
	}
	packed := packer.EncodeAll(data, nil)
	var list [][]any
	for part := 0; part == 0 || len(packed) > 0; part++ {
		n := min(len(packed), partBytes)
		list = append(list, []any{tenant, int64(part), micros(now), kind, name, hash[:], packed[:n:n]})
		packed = packed[n:]
	}
	return c, t.insert(ctx, documentsTable, list)
}

// document reads a document; found is false if there is none.
func document(ctx context.Context, q querier, tenant int64, kind, name string) (data []byte, found bool, err error) {
	var hash, packed []byte
	err = each(ctx, q, documentParts.text, []any{tenant, kind, name}, func(r rows) error {
		var part []byte
		found = true
		err := r.Scan(&hash, &part)
		packed = append(packed, part...)
		return err
	})
	if err != nil || !found {
		return nil, false, err
	}
	unpacker, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(mostDocument))
	if err != nil {
		panic("registry: " + err.Error()) // only for wrong options
	}
	defer unpacker.Close()
	data, err = unpacker.DecodeAll(packed, nil)
	if sum := sha256.Sum256(data); err != nil || !bytes.Equal(sum[:], hash) {
		return nil, false, fmt.Errorf("%w: %s %s cannot be read (%v); restore it from a backup", ErrDamaged, kind, name, err)
	}
	return data, true, nil
}

// setting is a call that reads a setting, "" if it was never set.
func (r *Registry) setting(ctx context.Context, s Scope, call, name string) (value string, err error) {
	err = r.read(ctx, s, call, func(q querier, tenant int64) error {
		data, _, err := document(ctx, q, tenant, settingKind, name)
		value = string(data)
		return err
	})
	return value, err
}

// Masters says where the tenant's masters lie: an absolute folder, or s3:// and the address of a bucket; "" before the
// first import. A folder is one of the machine that imported; with several machines it must be the same on all.
func (r *Registry) Masters(ctx context.Context, s Scope) (string, error) {
	return r.setting(ctx, s, "Masters", mastersSetting)
}

// SetMasters sets where the masters lie. An address that holds credentials is refused: the registry keeps no secrets.
func (r *Registry) SetMasters(ctx context.Context, s Scope, place string, now time.Time) (c Changes, err error) {
	if err := checkText("place of the masters", place, mostText); err != nil || place == "" {
		return c, fmt.Errorf("registry: the place of the masters, %.80q: give a folder or the address of a bucket (%v)", place, err)
	}
	if strings.Contains(place, "://") {
		if u, err := url.Parse(place); err != nil || u.User != nil {
			return c, fmt.Errorf("registry: the place of the masters is no address, or one with credentials: give them by the environment")
		}
	}
	err = r.write(ctx, s, "SetMasters", func(t *tx, tenant int64) error {
		c, err = t.putDocument(ctx, tenant, settingKind, mastersSetting, []byte(place), false, now)
		return err
	})
	return c, err
}

// KeyFingerprint gives the fingerprint of the tenant's master key, "" before ClaimKey.
func (r *Registry) KeyFingerprint(ctx context.Context, s Scope) (string, error) {
	return r.setting(ctx, s, "KeyFingerprint", keySetting)
}

// ClaimKey records the fingerprint of the tenant's master key, once and for good: numbers of the codebook mean the same
// under one key only. ErrConflict where the tenant has another key.
func (r *Registry) ClaimKey(ctx context.Context, s Scope, fingerprint string, now time.Time) (c Changes, err error) {
	if err := checkID("fingerprint of a key", fingerprint); err != nil {
		return c, err
	}
	err = r.write(ctx, s, "ClaimKey", func(t *tx, tenant int64) error {
		c, err = t.putDocument(ctx, tenant, settingKind, keySetting, []byte(fingerprint), true, now)
		return err
	})
	return c, err
}

// BankTable gives the table that the bank gave last, in its own bytes; found is false if it gave none.
func (r *Registry) BankTable(ctx context.Context, s Scope) (data []byte, found bool, err error) {
	err = r.read(ctx, s, "BankTable", func(q querier, tenant int64) error {
		data, found, err = document(ctx, q, tenant, tableKind, bankTable)
		return err
	})
	return data, found, err
}

// SetBankTable keeps the bank's table in place of the one before.
func (r *Registry) SetBankTable(ctx context.Context, s Scope, data []byte, now time.Time) (c Changes, err error) {
	err = r.write(ctx, s, "SetBankTable", func(t *tx, tenant int64) error {
		c, err = t.putDocument(ctx, tenant, tableKind, bankTable, data, false, now)
		return err
	})
	return c, err
}

// PutStory keeps how a catalogue version came about, a JSON document of the caller's, once. ErrNotFound if there is no
// such version; ErrConflict where another story is told already.
func (r *Registry) PutStory(ctx context.Context, s Scope, ref Ref, story json.RawMessage, now time.Time) (c Changes, err error) {
	if !json.Valid(story) {
		return c, fmt.Errorf("registry: the story of %v is no JSON document", ref)
	}
	err = r.write(ctx, s, "PutStory", func(t *tx, tenant int64) error {
		if _, err := catalogueVersion(ctx, t, tenant, ref); err != nil {
			return err
		}
		c, err = t.putDocument(ctx, tenant, storyKind, ref.String(), story, true, now)
		return err
	})
	return c, err
}

// Story gives how a catalogue version came about, nil if nothing was kept. ErrNotFound if there is no such version.
func (r *Registry) Story(ctx context.Context, s Scope, ref Ref) (story json.RawMessage, err error) {
	err = r.read(ctx, s, "Story", func(q querier, tenant int64) error {
		if _, err := catalogueVersion(ctx, q, tenant, ref); err != nil {
			return err
		}
		story, _, err = document(ctx, q, tenant, storyKind, ref.String())
		return err
	})
	return story, err
}
