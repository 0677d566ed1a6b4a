package delivery

import (
	"sync"
	"time"
)

// Times says where the time went, summed over goroutines, and how much was moved. Waiting for other goroutines is not
// counted. It is told to whoever asks and written nowhere: the bytes of a delivery do not depend on time.
type Times struct {
	Read     time.Duration `json:"read_ns"`     // reading masters and hashing them
	Decode   time.Duration `json:"decode_ns"`   // decoding masters
	Geometry time.Duration `json:"geometry_ns"` // scaling and cutting
	Mark     time.Duration `json:"mark_ns"`     // measuring the host and marking it, all attempts of the closed loop
	Encode   time.Duration `json:"encode_ns"`   // writing files into memory
	Verify   time.Duration `json:"verify_ns"`   // decoding them again, comparing, detecting
	Stage    time.Duration `json:"stage_ns"`    // putting what is done into staging
	Shard    time.Duration `json:"shard_ns"`    // reading staging and putting shards
	Finish   time.Duration `json:"finish_ns"`   // sealing, pools, codebook, manifest, clearing up
	// BytesRead are those of masters and of staged images, BytesWritten those of staging and of shards.
	BytesRead    int64 `json:"bytes_read"`
	BytesWritten int64 `json:"bytes_written"`
}

// Add adds what another took.
func (t *Times) Add(o Times) {
	t.Read += o.Read
	t.Decode += o.Decode
	t.Geometry += o.Geometry
	t.Mark += o.Mark
	t.Encode += o.Encode
	t.Verify += o.Verify
	t.Stage += o.Stage
	t.Shard += o.Shard
	t.Finish += o.Finish
	t.BytesRead += o.BytesRead
	t.BytesWritten += o.BytesWritten
}

// since adds the time until the result is called.
func since(to *time.Duration) func() {
	began := time.Now()
	return func() { *to += time.Since(began) }
}

// sharedTimes are Times that goroutines add to.
type sharedTimes struct {
	mu sync.Mutex
	t  Times
}

func (s *sharedTimes) add(t Times) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t.Add(t)
}

func (s *sharedTimes) get() Times {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.t
}
