package s3

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// Options say which bucket is meant and how it is spoken to. Zero values are replaced by what the comments name.
type Options struct {
	Bucket string
	// Prefix is the part of the bucket that is used, without a "/" at its end; "" is the whole bucket.
	Prefix string
	// Endpoint is the server, as https://host, https://host:port or http://...; "" is Amazon's.
	Endpoint string
	// Region goes into signatures. "": what Amazon says the bucket is in, us-east-1 for all other servers.
	Region string
	// Style is where the bucket's name goes. "": StyleVirtual with Amazon, StylePath with all others.
	Style Style

	// AccessKey and SecretKey sign the requests; both "" for a bucket that everybody may read.
	AccessKey    string
	SecretKey    Secret
	SessionToken Secret // of temporary credentials, or ""

	// RootCAs are the authorities that may vouch for the server. nil: those of the system.
	RootCAs *x509.CertPool

	// PartSize is the bytes of a part of a larger object, 5 MiB to 5 GiB. 0: 16 MiB. An object has at most 10,000 parts.
	PartSize int64
	// Parts is how many parts of one object are sent at once; one Put holds up to Parts+1 of them in memory. 0: 2.
	Parts int
	// Tries is how often a request is sent before its error is given back. 0: 10.
	Tries int
	// Stall is how long a connection may give no sign of life before it is cut. 0: one minute.
	Stall time.Duration
	// Lease is how long a lock lasts without renewal, at least one second. 0: 30 s.
	Lease time.Duration
	// Abandoned is the age at which an upload that was not finished is aborted by Lock. 0: 24 h.
	Abandoned time.Duration

	// Now, Sleep and Random replace the clock and the randomness of waiting. nil: real ones. Sleep ends early, with
	// its error, when ctx does; Random gives numbers in [0, 1) and is called by several goroutines.
	Now    func() time.Time
	Sleep  func(ctx context.Context, d time.Duration) error
	Random func() float64
	// Dial replaces how connections are made. nil: TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Style is where requests name the bucket.
type Style string

const (
	StylePath    Style = "path"    // https://host/bucket/key
	StyleVirtual Style = "virtual" // https://bucket.host/key
)

func (s Style) lookup() minio.BucketLookupType {
	switch s {
	case StylePath:
		return minio.BucketLookupPath
	case StyleVirtual:
		return minio.BucketLookupDNS
	}
	return minio.BucketLookupAuto
}

// Secret is a string that is not shown: however it is printed, logged or marshalled, it reads "secret".
type Secret string

func (Secret) String() string               { return "secret" }
func (Secret) GoString() string             { return "secret" }
func (Secret) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte("secret")) }
func (Secret) MarshalText() ([]byte, error) { return []byte("secret"), nil }
func (Secret) LogValue() slog.Value         { return slog.StringValue("secret") }

const (
	amazon      = "https://s3.amazonaws.com"
	minPartSize = 5 << 20 // what S3 demands of all parts but the last
	maxPartSize = 5 << 30
	maxParts    = 10000
)

// complete checks the options and fills in the defaults.
func (o Options) complete() (Options, error) {
	if err := o.check(); err != nil {
		return o, err
	}
	if o.Endpoint == "" {
		o.Endpoint = amazon
	}
	at, _ := url.Parse(o.Endpoint)
	if o.Region == "" && !s3utils.IsAmazonEndpoint(*at) {
		o.Region = "us-east-1"
	}
	if o.Style == "" && !s3utils.IsAmazonEndpoint(*at) {
		o.Style = StylePath
	}
	setDefault(&o.PartSize, 16<<20)
	setDefault(&o.Parts, 2)
	setDefault(&o.Tries, 10)
	setDefault(&o.Stall, time.Minute)
	setDefault(&o.Lease, 30*time.Second)
	setDefault(&o.Abandoned, 24*time.Hour)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	return o, nil
}

func setDefault[T int | int64 | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// check says what is wrong with the options and how it should be.
func (o Options) check() error {
	if err := s3utils.CheckValidBucketName(o.Bucket); err != nil {
		return fmt.Errorf("store: %q is not the name of a bucket: %w", o.Bucket, err)
	}
	if strings.HasPrefix(o.Prefix, "/") || strings.HasSuffix(o.Prefix, "/") || len(o.Prefix) > maxName-2 {
		return fmt.Errorf("store: the prefix %q must not begin or end with a slash, nor be longer than %d bytes", o.Prefix, maxName-2)
	}
	if err := checkEndpoint(o.Endpoint); err != nil {
		return err
	}
	switch {
	case o.Style != "" && o.Style != StylePath && o.Style != StyleVirtual:
		return fmt.Errorf("store: the style %q of a bucket's address is not known: write path or virtual", o.Style)
	case (o.AccessKey == "") != (o.SecretKey == ""):
		return errors.New("store: an S3 access key needs its secret key, and the other way round: give both or neither")
	case o.SessionToken != "" && o.AccessKey == "":
		return errors.New("store: an S3 session token needs its access key and secret key")
	case o.PartSize != 0 && (o.PartSize < minPartSize || o.PartSize > maxPartSize):
		return fmt.Errorf("store: parts of %d bytes; S3 wants %d to %d", o.PartSize, int64(minPartSize), int64(maxPartSize))
	case o.Lease != 0 && o.Lease < time.Second:
		return fmt.Errorf("store: a lease of %s is too short: servers tell the time in seconds", o.Lease)
	case o.Parts < 0, o.Tries < 0, o.Stall < 0, o.Abandoned < 0:
		panic("s3: a negative option")
	}
	return nil
}

// checkEndpoint repeats nothing of an endpoint that may hold a password.
func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return errors.New("store: the endpoint of a bucket does not parse: write https://host or https://host:port")
	case u.User != nil:
		return errors.New("store: the endpoint of a bucket must not hold a name or password: they are given apart from it")
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Path != "", u.RawQuery != "", u.Fragment != "", u.Opaque != "":
		return fmt.Errorf("store: the endpoint %q of a bucket: write https://host or https://host:port, and nothing behind it", endpoint)
	}
	return nil
}

// ParseURL reads a bucket's address:
//
//	s3://bucket/prefix?endpoint=https://s3.example.org:9000&region=eu-west-3&style=path
//
// All but the bucket may be left out. An endpoint without a scheme is https. Credentials are not part of it and
// are refused, without being repeated in the error. Options.String writes what ParseURL reads.
func ParseURL(address string) (Options, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return Options{}, errors.New("store: the address of a bucket does not parse: write s3://bucket/prefix?endpoint=https://host&region=name&style=path")
	case u.User != nil:
		return Options{}, errors.New("store: the address of a bucket must not hold credentials: they are given apart from it")
	case u.Scheme != "s3" || u.Host == "" || u.Fragment != "":
		return Options{}, fmt.Errorf("store: %q is not the address of a bucket: write s3://bucket/prefix?endpoint=https://host&region=name&style=path", u.Redacted())
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Options{}, fmt.Errorf("store: what stands behind the ? in the address of the bucket %s does not parse", u.Host)
	}
	for name, values := range query {
		if !slices.Contains([]string{"endpoint", "region", "style"}, name) {
			return Options{}, fmt.Errorf("store: the address of the bucket %s has %q behind the ?: only endpoint, region and style are known", u.Host, name)
		}
		if len(values) > 1 || values[0] == "" {
			return Options{}, fmt.Errorf("store: the address of the bucket %s must have one value for %s", u.Host, name)
		}
	}
	o := Options{
		Bucket:   u.Host,
		Prefix:   strings.Trim(u.Path, "/"),
		Endpoint: query.Get("endpoint"),
		Region:   query.Get("region"),
		Style:    Style(query.Get("style")),
	}
	if o.Endpoint != "" && !strings.Contains(o.Endpoint, "://") {
		o.Endpoint = "https://" + o.Endpoint
	}
	o.Endpoint = strings.TrimSuffix(o.Endpoint, "/")
	if err := o.check(); err != nil {
		return Options{}, err
	}
	return o, nil
}

// String is the address that ParseURL reads. It holds no secret.
func (o Options) String() string {
	u := url.URL{Scheme: "s3", Host: o.Bucket}
	if o.Prefix != "" {
		u.Path = "/" + o.Prefix
	}
	query := url.Values{}
	for name, value := range map[string]string{"endpoint": o.Endpoint, "region": o.Region, "style": string(o.Style)} {
		if value != "" && value != amazon {
			query.Set(name, value)
		}
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// local tells whether a host is this machine.
func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// PlainText tells whether requests go over the wire unencrypted to another machine, which an operator should be told.
func (o Options) PlainText() bool {
	u, err := url.Parse(o.Endpoint)
	return err == nil && u.Scheme == "http" && !local(u.Hostname())
}
