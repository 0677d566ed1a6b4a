package main

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

func TestInOrderIsInOrder(t *testing.T) {
	var got []int
	err := inOrder(context.Background(), 4, 50, func(i int) int {
		time.Sleep(time.Duration((i*7)%5) * time.Millisecond)
		return i * i
	}, func(i, square int) error {
		if square != i*i {
			t.Errorf("%d came with %d", i, square)
		}
		got = append(got, i)
		return nil
	})
	if err != nil || len(got) != 50 || !slices.IsSorted(got) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestInOrderStopsAtAnError(t *testing.T) {
	var done atomic.Int32
	enough := errors.New("enough")
	err := inOrder(context.Background(), 2, 1000, func(i int) int { done.Add(1); return i }, func(i, _ int) error {
		if i == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || done.Load() > 100 {
		t.Errorf("%v after %d calls", err, done.Load())
	}
}

// TestPanicsReachTheCaller: run turns a panic into exit code 3, which it can do in its own goroutine only.
func TestPanicsReachTheCaller(t *testing.T) {
	defer func() {
		if p := recover(); p != "broken" {
			t.Errorf("recovered %v", p)
		}
	}()
	_ = inOrder(context.Background(), 3, 10, func(i int) int {
		if i == 5 {
			panic("broken")
		}
		return i
	}, func(int, int) error { return nil })
	t.Error("the panic was lost")
}
