// Package ingest turns the objects of a bucket or folder, and a bank's table, into records of works: what each picture is,
// who has rights in it, what was said about training on it, and what is still missing. It does no I/O but through what it
// is given; the table's own files are package table's.
//
// # Promises
//
// Everything is answered: each object given to [Run] makes one [Result], in the order given, that is a record, a refusal by name,
// or "unchanged". A work whose holder reserved training makes both: the record, for the register of reservations, and a refusal.
//
// Nothing is guessed. The file's own metadata (XMP, then IPTC, then EXIF) goes before the table, which fills in what is
// missing; where both speak and differ, the file's value is kept and the difference reported. Shares that do not make 100 %,
// numbers that fail their check digits and rights holders on which file and table differ become things to do. Reservations
// are never outvoted: each that is found counts, wherever it stands, and what is said of one of several names that have the same
// bytes counts for the work they are ([Result.Copy]). So does what stands in rows that differ on one file, or that cannot be
// read but for the file they name: such a row allows nothing, pays nobody, and what it may say on training asks for a person.
//
// A row speaks for one file. Joined by path it can be no other's. Joined by name or identifier it is taken for the first file, in the
// order of names, that has it: any other gets its descriptions and a thing to do, but no rights holder of it and no word that
// training is allowed, also when the first one comes in a later run. That the first is the right one is for the bank to
// see: a bank whose names are not unique has rows with paths.
//
// May run twice: a second run over the same objects with what the first one made known reads nothing and changes
// nothing. An object is read again when its size, time or ETag changed, or when the table or the site's rules say something else
// of it than last time.
//
// Order: objects come in the byte order of their names, as buckets list them, and so do known ones; that makes finding
// missing ones a merge that needs no memory.
//
// Concurrency: Options.Readers goroutines read; emit is called by one goroutine, in order. The end of the context ends the
// run soon, with its error, and what was emitted stands.
//
// Memory: Options.MaxMemory bounds the files held, Options.MaxDecoding what decoding takes beside them. Apart from that a
// run holds some KB for each of 4 x Readers objects, and for every object read in this run the entry of [Claims].
//
// Trust: names, files, tables and manifests are hostile. Sizes are checked before reading and against what was listed; nothing
// is decoded before its header was checked; all parsers are bounded.
package ingest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/ingest/optout"
	"github.com/filigrane/filigrane/internal/ingest/table"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/party"
)

// Object is a file that may be a picture. Name is its key in the bucket or its path below the root.
type Object struct {
	Name     string
	Size     int64 // in bytes, as listed
	Modified time.Time
	ETag     string // "" if the store has none
	// Open reads the object; it is called at most once, from any goroutine.
	Open func(context.Context) (io.ReadCloser, error)
}

// Objects lists objects in the byte order of their names. An error that is a *Refusal is about that one name, and the run goes on;
// any other ends it.
type Objects = iter.Seq2[Object, error]

// Seen is what an earlier run made known of an object.
type Seen struct {
	Name     string
	Size     int64
	Modified time.Time
	ETag     string
	SHA256   string   // in hex
	IDs      []string // Record.IDs
	Outside  string   // Record.Outside
	Missing  bool     // the last run did not find it
	// Reserved says that the table reserved training on it: a table some of whose rows cannot be read does not lift that by saying
	// nothing of it.
	Reserved bool
}

// Known is what earlier runs made known. It may change while a run goes on, by what the run emits. Each and ByHash are called
// by two goroutines, while emit is at work: a database reads pages for Each and holds nothing open between them.
type Known interface {
	// Each lists what is known of the part of the store that is listed, in the byte order of names (COLLATE "C"), missing ones too. One listing
	// takes the place of a look-up for every object, and tells what is gone.
	Each(ctx context.Context) iter.Seq2[Seen, error]
	// ByHash finds the object known to have these bytes.
	ByHash(ctx context.Context, sha256 string) (Seen, bool, error)
}

// Options says how to run. The zero value reads every object, without a table.
type Options struct {
	// Now is the time findings of reservations are dated with.
	Now time.Time
	// Readers is how many objects are read at once; 0 means 2 for every CPU.
	Readers int
	// Limits of pictures; a zero field means raster's.
	Limits raster.Limits
	// MaxMemory bounds the bytes of files held at once, 0: 1 GiB. A larger file is read alone.
	MaxMemory int64
	// MaxDecoding bounds the bytes that decoding takes at once, estimated at 16 a pixel, 0: 2 GiB. A larger picture is decoded alone.
	MaxDecoding int64
	// Decode decodes every picture read: only that shows whether it is whole. Inspect, which may add to the record, implies
	// it; an error of Inspect ends the run.
	Decode  bool
	Inspect func(*Record, *raster.Picture) error
	// Table is the bank's, nil if there is none. It notes which rows were used, so a run wants one that is freshly read;
	// afterwards Table.Unused gives the rows without a usable file.
	Table *table.Table
	// Sites are rules about the bank's site, SitePath gives the path an object has there; nil means "/" and its name.
	Sites    []*optout.Site
	SitePath func(name string) string
	// Known is what earlier runs found, nil for a first run. With it Stat looks whether an object is there.
	Known Known
	Stat  func(ctx context.Context, name string) (Object, bool, error)
	// Part says that the objects are not the whole store, only some folder of it: a row that another file was found to take stays
	// that file's.
	Part bool
	// Reread reads objects that seem unchanged too.
	Reread bool
	// Claims settles who has bytes that several names have; nil means NewClaims().
	Claims Claims
	// Wanted are the fields whose absence is a thing to do; nil means DefaultWanted.
	Wanted []string
	// MaxUnreadable is how many objects in a row may fail to open or be read before the run gives the store up; 0: 100. Files that
	// are not known and that the system forbids to read do not count.
	MaxUnreadable int
}

func (o Options) withDefaults() Options {
	if o.Known != nil && o.Stat == nil {
		panic("ingest: Options.Known needs Options.Stat")
	}
	if o.Now.IsZero() {
		panic("ingest: Options.Now is not set")
	}
	set := func(v *int64, to int64) {
		if *v <= 0 {
			*v = to
		}
	}
	set(&o.MaxMemory, 1<<30)
	set(&o.MaxDecoding, 2<<30)
	if o.Readers <= 0 {
		o.Readers = 2 * runtime.GOMAXPROCS(0)
	}
	if o.Limits.MaxBytes <= 0 { // the others are raster's to fill in
		o.Limits.MaxBytes = raster.DefaultLimits().MaxBytes
	}
	if o.SitePath == nil {
		o.SitePath = func(name string) string { return "/" + name }
	}
	if o.Claims == nil {
		o.Claims = NewClaims()
	}
	if o.Wanted == nil {
		o.Wanted = DefaultWanted
	}
	if o.MaxUnreadable <= 0 {
		o.MaxUnreadable = 100
	}
	o.Decode = o.Decode || o.Inspect != nil
	return o
}

// Status is what became of an object. The strings are stable.
type Status string

const (
	Added     Status = "added"
	Changed   Status = "changed"   // other bytes under a known name
	Moved     Status = "moved"     // known bytes under a new name; the old one is gone
	Updated   Status = "updated"   // the same bytes, and something else said about them
	Unchanged Status = "unchanged" // not read, or read and found the same
	Refused   Status = "refused"
	// Missing is a known name that is gone. If its bytes moved, a result with that name as Was comes before or after;
	// if before, and Known was told, there is no result for the old name.
	Missing Status = "missing"
)

// Result is what became of one object.
type Result struct {
	Name   string
	Status Status
	Was    string // the former name of one that moved
	// Known says that the name was known before. If it is refused now, but for a reservation, its work is not there any more.
	Known bool
	// Record is set for what was read and is a usable picture; Refusal for what must not be delivered. Both are set for a
	// work whose holder reserved training.
	Record  *Record
	Refusal *Refusal
	// Copy is the record of a name refused as KindDuplicate, nil for all others. It is no work of its own, and what the table and
	// the site say of that name (Reservations not FromFile; the file's are the holder's too) counts for the work with its ID.
	Copy *Record
	// Line is that of the table's row about it, 0 if there is none; also for what was not read. Refused objects have none.
	Line int64
}

// Origin is where a value comes from.
type Origin string

const (
	FromFile  Origin = "file"
	FromTable Origin = "table"
	FromSite  Origin = "site" // rules about the bank's site
)

// Field is a value of a work's metadata. Names are those of package table, or a column's own.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  Origin `json:"from"`
}

// Record is a work as its file and the table describe it. All text is UTF-8.
type Record struct {
	ID            concepts.WorkID `json:"id"` // concepts.NewWorkID of the SHA-256
	Name          string          `json:"name"`
	SHA256        string          `json:"sha256"`
	Bytes         int64           `json:"bytes"`
	Modified      time.Time       `json:"modified"`
	ETag          string          `json:"etag,omitempty"`
	Width, Height int             // in pixels, as displayed
	Format        string          `json:"format"`
	// Fields have a value each, in a fixed order, columns of the table's own last. See Field for one of them.
	Fields   []Field  `json:"fields,omitempty"`
	Keywords []string `json:"keywords,omitempty"`
	IDs      []string `json:"ids,omitempty"` // the identifiers the file carries, its name without ending first
	// Parties are the rights holders. Unless Settled, something about them is among the things to do.
	Parties      []party.Party `json:"parties,omitempty"`
	Settled      bool          `json:"settled"`
	ISCC         string        `json:"iscc,omitempty"` // as the bank gives it; not computed here
	Reservations []Reservation `json:"reservations,omitempty"`
	Todos        []Todo        `json:"todos,omitempty"`
	Conflicts    []Conflict    `json:"conflicts,omitempty"`
	Line         int64         `json:"line,omitempty"` // of the table's row; 0 if it has none
	// Outside is a hash of what was said of the work outside its file: the row, the site's rules. "" if nothing was.
	Outside string `json:"outside,omitempty"`
}

// Field gives a value by its name, "" if there is none.
func (r *Record) Field(name string) string {
	for _, f := range r.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// Work gives the record as the pure packages know it. RightsHolder is the names of the parties joined by "; ".
func (r *Record) Work() concepts.Work {
	w := concepts.Work{ID: r.ID, Path: r.Name, SHA256: r.SHA256, Width: r.Width, Height: r.Height, Format: r.Format,
		Title: r.Field(table.FieldTitle), Creator: r.Field(table.FieldCreator), Keywords: r.Keywords}
	for i, p := range r.Parties {
		if i > 0 {
			w.RightsHolder += "; "
		}
		w.RightsHolder += p.Name
	}
	for _, f := range r.Fields {
		if f.Name != table.FieldTitle && f.Name != table.FieldCreator {
			w.Columns = append(w.Columns, concepts.Column{Name: f.Name, Value: f.Value})
		}
	}
	sortColumns(w.Columns)
	return w
}

// Training says what all that was said about training comes to. Only optout.Allows and optout.Silent may be delivered without
// somebody's word; a work that Refuses is refused by Run already.
func (r *Record) Training() optout.Effect {
	var all []optout.Finding
	for _, w := range r.Reservations {
		all = append(all, w.Finding)
	}
	return optout.Strongest(all)
}

// Reservation is a word about training, with its evidence.
type Reservation struct {
	optout.Finding
	Source string    `json:"source"` // the object's name, or where the rule about the site was found
	From   Origin    `json:"from"`
	At     time.Time `json:"at"` // when it was read
}

// Todo is something a person has to settle. Why says what it is needed for.
type Todo struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
	Why    string `json:"why"`
}

// Conflict is a field on which file and table differ. The file's value was kept.
type Conflict struct {
	Field   string `json:"field"`
	InFile  string `json:"in_file"`
	InTable string `json:"in_table"`
	Line    int64  `json:"line"`
}

// Kind is why an object was refused. The strings are stable; those of raster.Kind are kinds too.
type Kind string

const (
	KindBadPath     Kind = "bad_path"      // a name that is no path below a root
	KindHidden      Kind = "hidden"        // a name with a part that begins with a dot
	KindFolder      Kind = "folder"        // a bucket's mark for an empty folder
	KindListedTwice Kind = "listed_twice"  // the listing repeats a name
	KindDuplicate   Kind = "duplicate"     // the bytes of another object
	KindReserved    Kind = "reserved"      // training is reserved
	KindSizeChanged Kind = "size_changed"  // not as long as listed
	KindVanished    Kind = "vanished"      // listed, and gone when it was opened
	KindBomb        Kind = "metadata_bomb" // metadata built to exhaust its reader
)

// Refusal is an object that is not taken. Name is exact and may hold anything; print it with Shown.
type Refusal struct {
	Name   string `json:"name"`
	Kind   Kind   `json:"kind"`
	Detail string `json:"detail"` // what to do about it
}

// Error gives name, kind and detail on one line.
func (r *Refusal) Error() string { return r.Shown() + ": " + string(r.Kind) + ": " + r.Detail }

// Shown gives the name so that it can be printed: quoted where it holds anything unprintable, and cut after 200 bytes.
func (r *Refusal) Shown() string {
	name := r.Name
	if len(name) > 200 {
		return fmt.Sprintf("%.200q... (%d bytes)", name, len(name))
	}
	if quoted := fmt.Sprintf("%q", name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

// Summary counts results.
type Summary struct {
	Added, Changed, Moved, Updated, Unchanged, Refused, Missing int
	Reserved                                                    int // works whose holder reserved training, among all but Refused
	Todos, Conflicts                                            int
	BytesRead                                                   int64
}

func (s *Summary) count(r Result) {
	counts := map[Status]*int{Added: &s.Added, Changed: &s.Changed, Moved: &s.Moved, Updated: &s.Updated,
		Unchanged: &s.Unchanged, Refused: &s.Refused, Missing: &s.Missing}
	*counts[r.Status]++
	if r.Record == nil {
		return
	}
	s.Todos += len(r.Record.Todos)
	s.Conflicts += len(r.Record.Conflicts)
	if r.Refusal != nil {
		s.Reserved++
	}
}
