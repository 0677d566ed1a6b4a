package raster

import (
	"errors"
	"fmt"
	"io"
)

// Kind is the machine-readable reason of an [Error]. The strings are stable: they appear in reports
// and API answers. New kinds are added at the end.
type Kind string

const (
	KindEmpty       Kind = "empty"        // no bytes at all
	KindNotAnImage  Kind = "not_an_image" // no picture format recognised
	KindTruncated   Kind = "truncated"    // the file ends too early
	KindTooLarge    Kind = "too_large"    // beyond Limits, by bytes, pixels or side
	KindZeroSize    Kind = "zero_size"    // a width or height of zero
	KindAnimated    Kind = "animated"     // several frames or pages
	KindCMYK        Kind = "cmyk"         // print colours: CMYK or YCCK
	KindUnsupported Kind = "unsupported"  // a known format or variant this package does not handle
	KindUnreadable  Kind = "unreadable"   // the file system said no
	KindCorrupt     Kind = "corrupt"      // recognised, but its content contradicts its format
)

// Error is the only error type this package returns. Detail says in one line what is wrong and what
// to do about it; it is meant for the person who sent the file and holds nothing internal. Err, when
// set, is the cause, for errors.Is and for logs.
type Error struct {
	Kind   Kind
	Path   string // set by DecodeFile
	Detail string
	Err    error
}

// Error gives the path, if known, the kind and the detail on one line.
func (e *Error) Error() string {
	if e.Path != "" {
		return fmt.Sprintf("%s: %s: %s", e.Path, e.Kind, e.Detail)
	}
	return fmt.Sprintf("%s: %s", e.Kind, e.Detail)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf gives the kind of err, or "" if err is not from this package.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func fail(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Detail: fmt.Sprintf(format, args...)}
}

// failFrom gives the error for a failure inside a pixel decoder: an early end is "truncated",
// a feature it names as unsupported is "unsupported", anything else "corrupt".
func failFrom(f Format, err error, unsupported bool) *Error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return &Error{Kind: KindTruncated, Err: err,
			Detail: fmt.Sprintf("the %s data ends before the picture is complete; fetch the file again from its source", f.name())}
	case unsupported:
		return &Error{Kind: KindUnsupported, Err: err,
			Detail: fmt.Sprintf("this variety of %s is not supported (%v); save it again as ordinary %s or as PNG", f.name(), err, f.name())}
	default:
		return &Error{Kind: KindCorrupt, Err: err,
			Detail: fmt.Sprintf("the %s data is damaged (%v); fetch the file again or save it anew", f.name(), err)}
	}
}

// guarded runs a pixel decoder written by others and turns a panic in it into an error, so that one
// hostile file never takes the service down.
func guarded(f Format, decode func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &Error{Kind: KindCorrupt, Err: fmt.Errorf("decoder panic: %v", r),
				Detail: fmt.Sprintf("the %s data is damaged; fetch the file again or save it anew", f.name())}
		}
	}()
	return decode()
}
