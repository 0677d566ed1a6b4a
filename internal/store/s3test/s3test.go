// Package s3test runs a real S3 server for tests: versitygw, over a temporary folder. The binary is looked for in
// $PATH and in the folder bin at the root of the repository; get it with
//
//	GOBIN=$PWD/bin go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
//
// Without it tests are skipped, or fail if FILIGRANE_NEED_TOOLS is 1.
package s3test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/filigrane/filigrane/internal/store/s3"
)

// Server is a running server.
type Server struct {
	Endpoint string // http://127.0.0.1:port
	Address  string // 127.0.0.1:port
	// Folder holds a folder for each bucket, and in it the objects as files. A file put there is an object.
	Folder  string
	RootCAs *x509.CertPool // that vouch for the server, if it speaks TLS
	Pid     int
	buckets atomic.Int64
}

// What the server was told.
const (
	AccessKey = "filigrane"
	SecretKey = "not-a-secret"
	Region    = "eu-west-3"
)

// Config is what a test may want differently.
type Config struct {
	TLS    bool   // https with a certificate made for the test
	Domain string // of virtual-host style: https://bucket.domain/key
}

// Start runs a server until the test ends. With no binary the test is skipped.
func Start(t testing.TB, config Config) *Server {
	t.Helper()
	s, stop, err := Run(t.TempDir(), config)
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("FILIGRANE_NEED_TOOLS") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return s
}

// Run is Start where there is no test yet, as in TestMain: folder is where the objects go, and stop ends the server.
// Without the binary the error is exec.ErrNotFound.
func Run(folder string, config Config) (s *Server, stop func(), err error) {
	binary, err := find()
	if err != nil {
		return nil, nil, err
	}
	for range 5 { // another process may take the port first
		if s, stop, err = run(binary, folder, config); err == nil {
			return s, stop, nil
		}
	}
	return nil, nil, err
}

// find looks for the server's binary.
func find() (string, error) {
	if p, err := exec.LookPath("versitygw"); err == nil {
		return p, nil
	}
	folder, err := os.Getwd()
	for ; err == nil; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			p := filepath.Join(folder, "bin", "versitygw")
			if _, err := os.Stat(p); err == nil {
				return p, nil
			}
			break
		}
		if folder == filepath.Dir(folder) {
			break
		}
	}
	return "", fmt.Errorf("no S3 server to test with: GOBIN=$PWD/bin go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 in the root of the repository: %w", exec.ErrNotFound)
}

func run(binary, folder string, config Config) (*Server, func(), error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	s := &Server{Address: l.Addr().String(), Folder: filepath.Join(folder, "buckets")}
	s.Endpoint = "http://" + s.Address
	if err := errors.Join(l.Close(), os.MkdirAll(s.Folder, 0o777)); err != nil {
		return nil, nil, err
	}
	args := []string{"--quiet", "--port", s.Address, "--region", Region}
	if config.Domain != "" {
		args = append(args, "--virtual-domain", config.Domain)
	}
	if config.TLS {
		s.Endpoint = "https://" + s.Address
		cert, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
		if s.RootCAs, err = certificate(cert, key, config.Domain); err != nil {
			return nil, nil, err
		}
		args = append(args, "--cert", cert, "--key", key)
	}
	cmd := exec.Command(binary, append(args, "posix", s.Folder)...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	s.Pid = cmd.Process.Pid
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	}
	for range 300 {
		if c, err := net.Dial("tcp", s.Address); err == nil {
			return s, stop, c.Close()
		}
		select {
		case <-ended:
			return nil, nil, fmt.Errorf("versitygw ended: %s", strings.TrimSpace(said.String()))
		case <-time.After(50 * time.Millisecond):
		}
	}
	stop()
	return nil, nil, fmt.Errorf("versitygw does not answer: %s", strings.TrimSpace(said.String()))
}

// certificate makes a certificate that vouches for itself.
func certificate(certFile, keyFile, domain string) (*x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	if domain != "" {
		template.DNSNames = []string{domain, "*." + domain}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	return pool, errors.Join(os.WriteFile(certFile, public, 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// Bucket makes an empty bucket and gives the options that open it.
func (s *Server) Bucket(t testing.TB) s3.Options {
	t.Helper()
	name := fmt.Sprintf("test-%d", s.buckets.Add(1))
	opt := s3.Options{Bucket: name, Endpoint: s.Endpoint, Region: Region, AccessKey: AccessKey, SecretKey: SecretKey, RootCAs: s.RootCAs}
	if err := s.Client(t).MakeBucket(context.Background(), name, minio.MakeBucketOptions{Region: Region}); err != nil {
		t.Fatal(err)
	}
	return opt
}

// Client speaks to the server without the driver.
func (s *Server) Client(t testing.TB) *minio.Client {
	t.Helper()
	at, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := minio.DefaultTransport(s.RootCAs != nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.RootCAs != nil {
		transport.TLSClientConfig.RootCAs = s.RootCAs
	}
	client, err := minio.New(at.Host, &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: Region,
		Secure: s.RootCAs != nil, Transport: transport, BucketLookup: minio.BucketLookupPath})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return client
}
