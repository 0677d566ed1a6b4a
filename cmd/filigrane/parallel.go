package main

import (
	"context"
	"sync"
)

// eachOf calls do for 0 to n-1 by the given number of goroutines, until all are done or ctx ends. A panic of do goes on in
// the caller's goroutine once the others have stopped.
func eachOf(ctx context.Context, workers, n int, do func(i int)) {
	next := make(chan int)
	var wait sync.WaitGroup
	var fault any
	var once sync.Once
	one := func(i int) {
		defer func() {
			if p := recover(); p != nil {
				once.Do(func() { fault = p })
			}
		}()
		do(i)
	}
	for range min(workers, n) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := range next {
				one(i)
			}
		}()
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	wait.Wait()
	if fault != nil {
		panic(fault)
	}
}

// inOrder calls do for 0 to n-1 as eachOf does and take with what each returned, one after the other, in order, from the
// caller's goroutine. An error of take ends the run and is returned; what is under way is still waited for.
func inOrder[T any](ctx context.Context, workers, n int, do func(i int) T, take func(i int, t T) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	type numbered struct {
		i int
		t T
	}
	ready := make(chan numbered)
	var fault any
	go func() {
		defer close(ready)
		defer func() { fault = recover() }()
		eachOf(ctx, workers, n, func(i int) { ready <- numbered{i, do(i)} })
	}()
	waiting := map[int]T{}
	next := 0
	var err error
	for r := range ready { // to the end also after an error, or the others would hang
		waiting[r.i] = r.t
		for t, ok := waiting[next]; ok && err == nil; t, ok = waiting[next] {
			if err = take(next, t); err != nil {
				stop()
			}
			delete(waiting, next)
			next++
		}
	}
	if fault != nil {
		panic(fault)
	}
	return err
}
