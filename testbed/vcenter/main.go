// Command polyvisor-test-vcenter is a vCenter (or an ESXi host) to test against: govmomi's simulator with real bytes on
// its datastores and a real QEMU guest behind every VM that is powered on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"polyvisor/testbed/vcenter/internal/guest"
)

func main() {
	if err := run(); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "polyvisor-test-vcenter:", err)
		os.Exit(1)
	}
}

func run() error {
	options, err := parseOptions(os.Args[1:])
	if err != nil {
		return err
	}
	password, err := options.password()
	if err != nil {
		return err
	}
	if options.Data, err = filepath.Abs(options.Data); err != nil {
		return err
	}
	if err := os.MkdirAll(options.Data, 0o700); err != nil {
		return err
	}
	if err := guest.Ready(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	unlock, err := lock(options.Data)
	if err != nil {
		return err
	}
	defer unlock()
	v, err := newVCenter(options, guest.Choose(ctx, guest.Accelerator(options.Accelerator)))
	if err != nil {
		return err
	}
	if options.WhileStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			v.endGuests()
			stop()
		}()
	}
	return v.serve(ctx, password, os.Stdout)
}

// lock keeps a second process out of the data folder.
func lock(folder string) (func(), error) {
	file, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("another test vCenter works in %s", folder)
	}
	return func() { file.Close() }, nil
}
