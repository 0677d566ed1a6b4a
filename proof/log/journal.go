package log

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/filigrane/filigrane/proof/tlogproof"
)

// The journal is a batch on its way into the log: the length of a signed note in four bytes, big-endian, the note, and the
// batch in the form of an entry bundle. The note is signed by the log, so that nobody who can only write to the store gets
// entries into it; its second line is no number, so that it can never be taken for a checkpoint:
//
//	filigrane.log/journal/1
//	log bank.example/log
//	base 1234
//	entries 2
//	sha256 9f86d081884c7d65...

const maxJournalBytes = 4 + tlogproof.MaxCheckpointBytes + MaxBatchBytes + 2*MaxBatch

func journalText(origin string, base int64, entries int, bundle []byte) string {
	return fmt.Sprintf("filigrane.log/journal/1\nlog %s\nbase %d\nentries %d\nsha256 %x\n", origin, base, entries, sha256.Sum256(bundle))
}

func signJournal(signer note.Signer, p *tlogproof.Policy, base int64, batch [][]byte) ([]byte, error) {
	bundle := marshalBundle(batch)
	signed, err := note.Sign(&note.Note{Text: journalText(p.Origin(), base, len(batch), bundle)}, signer)
	if err != nil {
		return nil, fmt.Errorf("log: signing: %w", err)
	}
	data := binary.BigEndian.AppendUint32(nil, uint32(len(signed)))
	return append(append(data, signed...), bundle...), nil
}

// openJournal verifies a journal and gives the size of the log before its batch, and the batch.
func openJournal(p *tlogproof.Policy, data []byte) (base int64, batch [][]byte, err error) {
	bad := func(why any) (int64, [][]byte, error) {
		return 0, nil, fmt.Errorf("%w: the journal was changed or is another log's (%v); put back the one that belongs to the checkpoint", ErrFiles, why)
	}
	if len(data) < 4 || int64(binary.BigEndian.Uint32(data)) > int64(len(data)-4) {
		return bad("cut off")
	}
	n := 4 + int64(binary.BigEndian.Uint32(data))
	signed, bundle := data[4:n], data[n:]
	text, err := p.OpenNote(signed)
	if err != nil {
		return bad(err)
	}
	if batch, err = parseBundle(bundle, MaxBatch); err != nil {
		return bad(err)
	}
	var origin string
	if _, err := fmt.Sscanf(text, "filigrane.log/journal/1\nlog %s\nbase %d\n", &origin, &base); err != nil {
		return bad(err)
	}
	if text != journalText(p.Origin(), base, len(batch), bundle) || base < 0 || len(batch) == 0 {
		return bad("the batch is not the one that was signed")
	}
	if err := checkEntries(batch); err != nil {
		return bad(err)
	}
	return base, batch, nil
}
