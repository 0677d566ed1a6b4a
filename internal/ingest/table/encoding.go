package table

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// The encodings a table may have.
const (
	UTF8        = "utf-8"
	UTF8Mark    = "utf-8 with mark"
	UTF16LE     = "utf-16le"
	UTF16BE     = "utf-16be"
	Windows1252 = "windows-1252"
)

// encodingOf finds the encoding, or checks the one that was asked for. Marks decide; without one, zeros at every other place
// mean UTF-16; then a text that is UTF-8 throughout is that. One that is not is Windows-1252 (of which ISO 8859-1 is a
// part), unless it has at least ten times as many right sequences of UTF-8 as wrong ones: then it is UTF-8 with bad rows.
func encodingOf(ctx context.Context, open func() (io.ReadCloser, error), asked string) (string, error) {
	switch asked {
	case "":
	case UTF8, UTF8Mark, UTF16LE, UTF16BE, Windows1252:
		return asked, nil
	default:
		return "", fmt.Errorf("table: no encoding is called %q; choose %s, %s, %s or %s", asked, UTF8, UTF16LE, UTF16BE, Windows1252)
	}
	in, err := open()
	if err != nil {
		return "", fmt.Errorf("table: %w", err)
	}
	defer in.Close()
	buf := make([]byte, 256<<10)
	n, err := io.ReadFull(in, buf[:4096])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", fmt.Errorf("table: %w", err)
	}
	if name := marked(buf[:n]); name != "" {
		return name, nil
	}
	right, wrong := 0, 0
	rest := n
	for {
		used := count(buf[:rest], &right, &wrong, false)
		copy(buf, buf[used:rest])
		rest -= used
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := in.Read(buf[rest:])
		rest += n
		if err == io.EOF {
			count(buf[:rest], &right, &wrong, true)
			break
		}
		if err != nil {
			return "", fmt.Errorf("table: %w", err)
		}
	}
	if wrong > 0 && right < 10*wrong {
		return Windows1252, nil
	}
	return UTF8, nil
}

// marked knows UTF-8 and UTF-16 by a mark, and UTF-16 by its zeros.
func marked(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		return UTF8Mark
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		return UTF16LE
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		return UTF16BE
	}
	var zeros [2]int
	for i, c := range head {
		if c == 0 {
			zeros[i%2]++
		}
	}
	switch quarter := len(head) / 4; {
	case len(head) >= 4 && zeros[1] > quarter && zeros[0] <= quarter/8:
		return UTF16LE
	case len(head) >= 4 && zeros[0] > quarter && zeros[1] <= quarter/8:
		return UTF16BE
	}
	return ""
}

// count counts right and wrong sequences beyond ASCII, and gives the bytes it looked at: all but an unfinished end.
func count(b []byte, right, wrong *int, last bool) int {
	at := 0
	for at < len(b) {
		if b[at] < utf8.RuneSelf {
			at++
			continue
		}
		if !last && !utf8.FullRune(b[at:]) {
			break
		}
		r, size := utf8.DecodeRune(b[at:])
		if r == utf8.RuneError && size == 1 {
			*wrong++
		} else {
			*right++
		}
		at += size
	}
	return at
}

// decode gives the text in UTF-8, without a mark.
func decode(in io.Reader, encoding string) io.Reader {
	switch encoding {
	case UTF8Mark, UTF8:
		return transform.NewReader(in, unicode.BOMOverride(transform.Nop))
	case UTF16LE:
		return transform.NewReader(in, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder())
	case UTF16BE:
		return transform.NewReader(in, unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder())
	case Windows1252:
		return transform.NewReader(in, charmap.Windows1252.NewDecoder())
	}
	panic("table: encoding " + encoding)
}
