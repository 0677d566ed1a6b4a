package main

import (
	"cmp"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/delivery/papers"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/workspace"
)

// rightsFlags are what every delivered copy says about its use.
type rightsFlags struct {
	DataMining  string `placeholder:"VALUE" help:"IPTC's Data Mining field of every copy, a PLUS value such as DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING. Default: what the master says."`
	Constraints string `placeholder:"TEXT" help:"Other Constraints of every copy: under which licence what is allowed."`
	Statement   string `placeholder:"URL" help:"Web Statement of Rights of every copy."`
	Training    string `placeholder:"USE" help:"A sidecar in the shard with the CAWG entry for AI training: allowed, notAllowed or constrained (by --constraints or --statement). It is not signed."`
}

// termsFlags are what the papers of a delivery say of its licence.
type termsFlags struct {
	LicenceURL string   `name:"licence-url" placeholder:"URL" help:"Where the licence is found. Default urn:filigrane:licence: and its ID."`
	Recipient  string   `placeholder:"NAME" help:"Whom the licence is given to."`
	Territory  string   `placeholder:"LIST" help:"Where the licence holds: ISO 3166 codes with commas between, or world. Default of a new licence: world."`
	Stage      []string `sep:"none" placeholder:"WORD" help:"A stage of training the licence allows, such as pre-training, fine-tuning or rag; repeatable. Default of a new licence: pre-training and fine-tuning."`
	From       string   `placeholder:"DATE" help:"First day of the licence, as 2026-12-31. Default of a new licence: today."`
	Until      string   `placeholder:"DATE" help:"Last day of the licence. Default of a new licence: none."`
	Date       string   `placeholder:"DATE" help:"Day of the delivery, in its papers. Default today."`
}

// forms sets how shards, captions and rights are written.
func (c *deliverRunCmd) forms(spec *delivery.Spec) (err error) {
	if c.Shards != "numbered" {
		if spec.Shards, err = delivery.ParseShardForm(c.Shards); err != nil || c.Shards == "" {
			return badInput("--shards %q: choose tar, tar.zst or numbered", c.Shards)
		}
	}
	if c.Captions != "concepts" {
		if spec.Captions, err = delivery.ParseCaptions(c.Captions); err != nil || c.Captions == "" {
			return badInput("--captions %q: choose concepts or untouched", c.Captions)
		}
	}
	spec.Rights = delivery.Rights{DataMining: c.DataMining, OtherConstraints: c.Constraints, WebStatement: c.Statement}
	if c.DataMining != "" && !strings.Contains(c.DataMining, "/") {
		for _, v := range raster.DataMiningValues() {
			if strings.HasSuffix(v, "/"+c.DataMining) {
				spec.Rights.DataMining = v
			}
		}
	}
	r := spec.Rights
	if err := (raster.Rights{DataMining: r.DataMining, OtherConstraints: r.OtherConstraints, WebStatement: r.WebStatement}).Check(); err != nil {
		return badInput("--data-mining, --constraints, --statement: %w", err)
	}
	switch use := delivery.Use(c.Training); use {
	case "":
	case delivery.UseAllowed, delivery.UseNotAllowed, delivery.UseConstrained:
		spec.Rights.TrainingMining = delivery.TrainingMining{GenerativeTraining: use, Training: use}
		if use == delivery.UseConstrained {
			if spec.Rights.TrainingMining.ConstraintInfo = c.Statement; c.Statement == "" {
				spec.Rights.TrainingMining.ConstraintInfo = c.Constraints
			}
			if spec.Rights.TrainingMining.ConstraintInfo == "" {
				return badInput("--training constrained: give the constraints, with --statement or --constraints")
			}
		}
	default:
		return badInput("--training %q: choose allowed, notAllowed or constrained", c.Training)
	}
	_, err = c.days()
	return err
}

// previous reads the manifests of the deliveries that this one goes on from; nil for none.
func (c *deliverRunCmd) previous(s *session) (*delivery.History, error) {
	if len(c.Previous) == 0 {
		return nil, nil
	}
	var chain []*delivery.Manifest
	for _, where := range c.Previous {
		m, err := s.manifestOf(where)
		if err != nil {
			return nil, badInput("--previous %s: %w", where, err)
		}
		chain = append(chain, m)
	}
	h, err := delivery.NewHistory(chain...)
	if err != nil {
		return nil, badInput("--previous: %w", err)
	}
	return h, nil
}

// manifestOf reads the manifest of a finished delivery.
func (s *session) manifestOf(where string) (*delivery.Manifest, error) {
	st, err := s.existing(s.ctx, where)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	return delivery.OpenManifest(s.ctx, st)
}

// days reads the dates among the flags; the day of the delivery is the zero time where it is not given.
func (c *termsFlags) days() (days struct{ from, until, date time.Time }, err error) {
	for _, f := range []struct {
		name, text string
		to         *time.Time
	}{{"from", c.From, &days.from}, {"until", c.Until, &days.until}, {"date", c.Date, &days.date}} {
		if f.text == "" {
			continue
		}
		if *f.to, err = time.Parse(time.DateOnly, f.text); err != nil {
			return days, badInput("--%s %q: give a day as 2026-12-31", f.name, f.text)
		}
	}
	if !days.from.IsZero() && !days.until.IsZero() && days.until.Before(days.from) {
		return days, badInput("--until %s is before --from %s", c.Until, c.From)
	}
	return days, nil
}

// maxReceipt is the most bytes read of a receipt: one of 10^5 shards has 20 MB.
const maxReceipt = 1 << 30

// papers writes what accompanies a finished delivery, unless it is there, and says which key signed it.
func (c *deliverRunCmd) papers(s *session, ws *workspace.Workspace, st store.Store, spec delivery.Spec, licence registry.Licence) (string, error) {
	master, err := s.embeddingKey(ws)
	if err != nil {
		return "", err
	}
	signing := papers.SigningKey(master)
	public := hex.EncodeToString(signing.Public().(ed25519.PublicKey))
	switch text, err := store.ReadAll(s.ctx, st, papers.ReceiptKey, maxReceipt); {
	case err == nil:
		if _, bad := papers.ParseReceipt(s.ctx, text, signing.Public().(ed25519.PublicKey)); bad == nil && c.Date == "" {
			return public, nil
		}
	case !errors.Is(err, store.ErrNotFound):
		return "", err
	}
	t, err := c.paperTerms(spec, licence)
	if err != nil {
		return "", err
	}
	_, err = papers.Write(s.ctx, st, spec.Catalogue, t, signing)
	return public, err
}

// paperTerms are what the papers of a delivery say, and whether they may say so.
func (c *deliverRunCmd) paperTerms(spec delivery.Spec, licence registry.Licence) (t papers.Terms, err error) {
	days, err := c.days()
	if err != nil {
		return t, err
	}
	if days.date.IsZero() {
		days.date = time.Now()
	}
	if !days.until.IsZero() {
		days.until = days.until.AddDate(0, 0, 1) // the end is the first moment without a licence
	}
	if days.until.IsZero() && !licence.End.Equal(noEnd) {
		days.from, days.until = licence.Start, licence.End
	}
	p := spec.Path
	t = papers.Terms{Name: fmt.Sprintf("%s, %s", p.Catalogue, p.Licence), URL: "urn:filigrane:delivery:" + spec.KeyFingerprint,
		Description: fmt.Sprintf("Pictures of %s, catalogue %s, marked for attribution under licence %s, for %s.", p.Bank, p.Catalogue, p.Licence, p.Purpose),
		Creator:     p.Bank, LicenceURL: c.LicenceURL, Published: days.date, Recipient: cmp.Or(c.Recipient, licence.Party), Territory: c.Territory, Start: days.from, End: days.until}
	if t.Territory == "" && !slices.Equal(licence.Territory, anywhere) {
		t.Territory = strings.Join(licence.Territory, ", ")
	}
	if t.LicenceURL == "" {
		t.LicenceURL = "urn:filigrane:licence:" + p.Licence
	}
	if err := t.Check(); err != nil {
		return t, inputError{err}
	}
	return t, nil
}

// public is the key that receipts must be signed with, nil if none is known.
func (c *deliverVerifyCmd) public(s *session) (ed25519.PublicKey, error) {
	if c.SignedBy != "" {
		key, err := hex.DecodeString(c.SignedBy)
		if err != nil || len(key) != ed25519.PublicKeySize {
			return nil, badInput("--signed-by %q: give a public key of %d hex digits", c.SignedBy, 2*ed25519.PublicKeySize)
		}
		return key, nil
	}
	ws, err := s.workspace()
	if err != nil {
		return nil, nil // without a workspace hashes are compared all the same
	}
	if c.HashesOnly {
		return c.recorded(s, ws)
	}
	key, _, err := s.key(ws)
	if err != nil {
		return nil, nil
	}
	return papers.SigningKey(key).Public().(ed25519.PublicKey), nil
}

// recorded is the key that signed the receipt, as the registry has it on record, nil if it knows no delivery in this place:
// for who has no master key, or does not want to be asked for it.
func (c *deliverVerifyCmd) recorded(s *session, ws *workspace.Workspace) (key ed25519.PublicKey, err error) {
	place, err := s.absolute(c.Dir)
	if err != nil {
		return nil, err
	}
	r, err := s.recordsOf(ws)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	err = each(func(p registry.Page) (registry.List[registry.Delivery], error) {
		return r.reg.Deliveries(s.ctx, r.scope, registry.Delivered, p)
	}, func(d registry.Delivery) error {
		var spec deliverySpec
		var result deliveryResult
		if json.Unmarshal(d.Spec, &spec) != nil || spec.Place != place || json.Unmarshal(d.Result, &result) != nil {
			return nil
		}
		if k, err := hex.DecodeString(result.Receipt); err == nil && len(k) == ed25519.PublicKeySize {
			key = k
		}
		return nil
	})
	return key, err
}
