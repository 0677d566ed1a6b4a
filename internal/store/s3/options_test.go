package s3_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/filigrane/filigrane/internal/store/s3"
)

func TestParseURL(t *testing.T) {
	for address, want := range map[string]s3.Options{
		"s3://bucket":              {Bucket: "bucket"},
		"s3://bucket/":             {Bucket: "bucket"},
		"s3://my.bucket/a/b%20c/?": {Bucket: "my.bucket", Prefix: "a/b c"},
		"s3://bucket/p?endpoint=http://127.0.0.1:9000/&region=eu-west-3&style=path": {Bucket: "bucket", Prefix: "p", Endpoint: "http://127.0.0.1:9000", Region: "eu-west-3", Style: s3.StylePath},
		"s3://bucket?endpoint=s3.example.org&style=virtual":                         {Bucket: "bucket", Endpoint: "https://s3.example.org", Style: s3.StyleVirtual},
	} {
		got, err := s3.ParseURL(address)
		if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: got %+v, %v", address, got, err)
			continue
		}
		if again, err := s3.ParseURL(got.String()); err != nil || again.String() != got.String() {
			t.Errorf("%s became %s, %v", got, again, err)
		}
	}
	for address, want := range map[string]string{
		"bucket":                                 "write s3://bucket/prefix",
		"https://bucket/x":                       "write s3://bucket/prefix",
		"s3://":                                  "write s3://bucket/prefix",
		"s3:///key":                              "write s3://bucket/prefix",
		"s3://B_/x":                              "not the name of a bucket",
		"s3://bucket?style=dns":                  "path or virtual",
		"s3://bucket?secret=hunter2":             "only endpoint, region and style",
		"s3://bucket?region=a&region=b":          "one value for region",
		"s3://bucket?region=":                    "one value for region",
		"s3://bucket?endpoint=ftp://x":           "https://host",
		"s3://bucket?endpoint=https://h/path":    "nothing behind it",
		"s3://key:hunter2@bucket/x":              "must not hold credentials",
		"s3://bucket?endpoint=http://u:hunter2@": "must not hold a name or password",
		"s3://bucket/%zz":                        "does not parse",
	} {
		_, err := s3.ParseURL(address)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

// FuzzParseURL: what is read is written so that it is read the same.
func FuzzParseURL(f *testing.F) {
	f.Add("s3://bucket/prefix?endpoint=https://host:1&region=r&style=path")
	f.Add("s3://a.b/%2e%2e/%00?endpoint=http://[::1]:9")
	f.Fuzz(func(t *testing.T, address string) {
		o, err := s3.ParseURL(address)
		if err != nil {
			return
		}
		again, err := s3.ParseURL(o.String())
		if err != nil || fmt.Sprintf("%#v", again) != fmt.Sprintf("%#v", o) {
			t.Errorf("%q: %#v became %q: %#v, %v", address, o, o.String(), again, err)
		}
	})
}

// TestSecretsAreNotShown: in whatever way options are printed.
func TestSecretsAreNotShown(t *testing.T) {
	o := s3.Options{Bucket: "bucket", AccessKey: "A", SecretKey: "hunter2", SessionToken: "hunter2"}
	o.Now, o.Sleep, o.Random, o.Dial = nil, nil, nil, nil
	marshalled, err := json.Marshal(struct{ K s3.Secret }{o.SecretKey})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(o), fmt.Sprintf("%+v %#v %q %x %s %d", o, o, o.SecretKey, o.SecretKey, []any{o.SecretKey}, o.SecretKey), string(marshalled), o.String()} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") {
			t.Errorf("shown: %s", text)
		}
	}
}

// TestOptionsAreChecked before anything is sent.
func TestOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]s3.Options{
		"not the name of a bucket": {},
		"secret key":               {Bucket: "bucket", AccessKey: "A"},
		"session token":            {Bucket: "bucket", SessionToken: "x"},
		"parts of 7 bytes":         {Bucket: "bucket", PartSize: 7},
		"too short":                {Bucket: "bucket", Lease: 1},
		"must not begin":           {Bucket: "bucket", Prefix: "/x"},
		"not a key":                {Bucket: "bucket", Prefix: "a b"},
	} {
		if _, err := s3.Open(ctx, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for endpoint, plain := range map[string]bool{"": false, "https://x": false, "http://x:9000": true, "http://localhost:1": false, "http://127.0.0.1:1": false, "http://[::1]:1": false} {
		if got := (s3.Options{Endpoint: endpoint}).PlainText(); got != plain {
			t.Errorf("%s: %v", endpoint, got)
		}
	}
}
