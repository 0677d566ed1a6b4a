package papers

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/mark"
)

// What a receipt is, in its own words.
const (
	payloadType   = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://github.com/filigrane/filigrane/delivery-receipt/v1"
)

// Statement is the signed part of a receipt: an in-toto Statement.
type Statement struct {
	Type          string    `json:"_type"`
	Subject       []Subject `json:"subject"` // shards in order, then manifest, codebook and papers
	PredicateType string    `json:"predicateType"`
	Predicate     Receipt   `json:"predicate"`
}

// Subject is a file by its hash.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"` // "sha256"
}

// Receipt is what the statement says of its subjects.
type Receipt struct {
	Catalogue       string    `json:"catalogue"`
	CatalogueSHA256 string    `json:"catalogue_sha256"`
	Path            mark.Path `json:"path"`
	KeyFingerprint  string    `json:"key_fingerprint"` // of the delivery's marking key
	PreviousSHA256  string    `json:"previous_sha256,omitempty"`
	Images          int       `json:"images"`
	Refused         int       `json:"refused"`
	Removals        int       `json:"removals"`
	Creator         string    `json:"creator"`
	Recipient       string    `json:"recipient,omitempty"`
	LicenceURL      string    `json:"licence_url"`
	Published       string    `json:"published"` // day
	Commitment      string    `json:"commitment,omitempty"`
}

// SigningKey derives a key for receipts from a marking key, by HKDF-SHA-256 under a name of its own: from the bank's master
// key, so that one public key checks all of its receipts. What it signs says nothing about the marking key.
func SigningKey(k mark.Key) ed25519.PrivateKey {
	seed, err := hkdf.Key(sha256.New, k.Bytes(), nil, "filigrane receipt signing key 1", ed25519.SeedSize)
	if err != nil {
		panic("papers: " + err.Error()) // only for lengths that HKDF has not
	}
	return ed25519.NewKeyFromSeed(seed)
}

// KeyID names a public key: the first 16 hex digits of its SHA-256.
func KeyID(public ed25519.PublicKey) string {
	h := sha256.Sum256(public)
	return hex.EncodeToString(h[:8])
}

// signer and verifier are what dsse wants of Ed25519.
type signer struct{ ed25519.PrivateKey }

func (s signer) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(s.PrivateKey, data), nil
}

func (s signer) KeyID() (string, error) {
	return KeyID(s.PrivateKey.Public().(ed25519.PublicKey)), nil
}

type verifier struct{ ed25519.PublicKey }

func (v verifier) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(v.PublicKey, data, sig) {
		return errors.New("the signature is not of this key")
	}
	return nil
}

func (v verifier) KeyID() (string, error)   { return KeyID(v.PublicKey), nil }
func (v verifier) Public() crypto.PublicKey { return v.PublicKey }

// statement says what was delivered.
func statement(m *delivery.Manifest, manifestSHA256 string, t Terms, files []hashed) Statement {
	subject := func(name, sum string) Subject { return Subject{name, map[string]string{"sha256": sum}} }
	s := Statement{Type: statementType, PredicateType: predicateType, Predicate: Receipt{Catalogue: m.Parameters.Catalogue, CatalogueSHA256: m.Parameters.CatalogueSHA256,
		Path: m.Parameters.Path, KeyFingerprint: m.Parameters.KeyFingerprint, PreviousSHA256: m.Parameters.PreviousSHA256, Images: m.Summary.Images, Refused: m.Summary.Refused,
		Removals: m.Summary.Removals, Creator: t.Creator, Recipient: t.Recipient, LicenceURL: t.LicenceURL, Published: date(t.Published), Commitment: t.Commitment}}
	for _, x := range m.Shards {
		s.Subject = append(s.Subject, subject(x.Name, x.SHA256))
	}
	s.Subject = append(s.Subject, subject(delivery.ManifestKey, manifestSHA256), subject(delivery.CodebookKey, m.Parameters.CodebookSHA256))
	for _, f := range files {
		s.Subject = append(s.Subject, subject(f.name, f.sha256))
	}
	return s
}

// sign gives receipt.json.
func sign(ctx context.Context, s Statement, key ed25519.PrivateKey) ([]byte, error) {
	payload, err := marshal(s)
	if err != nil {
		return nil, err
	}
	es, err := dsse.NewEnvelopeSigner(signer{key})
	if err != nil {
		return nil, fmt.Errorf("papers: %w", err)
	}
	e, err := es.SignPayload(ctx, payloadType, payload)
	if err != nil {
		return nil, fmt.Errorf("papers: %w", err)
	}
	return marshal(e)
}

// ErrNotSigned says that a receipt bears no signature of the key asked for.
var ErrNotSigned = errors.New("papers: the receipt is not signed by this key")

// ParseReceipt reads receipt.json if it is signed by the key. The statement of a receipt that is not is never returned.
func ParseReceipt(ctx context.Context, text []byte, public ed25519.PublicKey) (*Statement, error) {
	var e dsse.Envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("papers: the receipt is no JSON document: %w", err)
	}
	ev, err := dsse.NewEnvelopeVerifier(verifier{public})
	if err != nil {
		return nil, fmt.Errorf("papers: %w", err)
	}
	if _, err := ev.Verify(ctx, &e); err != nil {
		return nil, fmt.Errorf("%w (%s): %w", ErrNotSigned, KeyID(public), err)
	}
	payload, err := e.DecodeB64Payload()
	if err != nil {
		return nil, fmt.Errorf("papers: %w", err)
	}
	var s Statement
	if err := json.Unmarshal(payload, &s); err != nil {
		return nil, fmt.Errorf("papers: the receipt's statement: %w", err)
	}
	if e.PayloadType != payloadType || s.Type != statementType || s.PredicateType != predicateType {
		return nil, fmt.Errorf("papers: the receipt is of type %s, %s, %s; this program reads %s", e.PayloadType, s.Type, s.PredicateType, predicateType)
	}
	return &s, nil
}
