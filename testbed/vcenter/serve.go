package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

// adminPath is where a test can reach behind the API.
const adminPath = "/polyvisor-test"

// address is what a client needs to know; it is printed as one line of JSON.
type address struct {
	URL                string `json:"url"`
	User               string `json:"user"`
	CertPath           string `json:"cert_path"`
	Thumbprint         string `json:"thumbprint"`
	ThumbprintSHA256   string `json:"thumbprint_sha256"`
	Data               string `json:"data_dir"`
	PID                int    `json:"pid"`
	InstanceUUID       string `json:"instance_uuid"`
	GuestsFolder       string `json:"guests_dir"`
	DatastoresFolder   string `json:"datastores_dir"`
	VirtualizationType string `json:"accelerator"`
}

// listen takes the wanted address. A free port, once found, is kept for the next start, so that a restart keeps its URL.
func listen(options Options) (net.Listener, error) {
	kept := filepath.Join(options.Data, "address")
	if _, port, err := net.SplitHostPort(options.Listen); err == nil && port == "0" {
		if text, err := os.ReadFile(kept); err == nil {
			if listener, err := net.Listen("tcp", strings.TrimSpace(string(text))); err == nil {
				return listener, nil
			}
		}
	}
	listener, err := net.Listen("tcp", options.Listen)
	if err != nil {
		return nil, err
	}
	return listener, os.WriteFile(kept, []byte(listener.Addr().String()+"\n"), 0o600)
}

// serve answers clients until the context ends. It writes the address to out once clients can come.
func (v *vcenter) serve(ctx context.Context, password string, out io.Writer) error {
	listener, err := listen(v.options)
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return err
	}
	pair, certPath, err := certificate(filepath.Join(v.options.Data, "tls"), host)
	if err != nil {
		return err
	}
	one, two := thumbprints(pair)
	v.address, v.thumbprint = listener.Addr().String(), one
	where := &url.URL{Scheme: "https", Host: listener.Addr().String(), Path: "/sdk"}
	configuration := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server := &http.Server{Handler: v.routes(where, password, configuration), ReadHeaderTimeout: time.Minute, ErrorLog: log.Default()}

	if err := v.announce(out, address{
		URL: where.String(), User: v.options.User, CertPath: certPath, Thumbprint: one, ThumbprintSHA256: two,
		Data: v.options.Data, PID: os.Getpid(), InstanceUUID: v.serviceInstance().Content.About.InstanceUuid,
		GuestsFolder: v.fleet.Folder, DatastoresFolder: filepath.Join(v.options.Data, "datastores"),
		VirtualizationType: string(v.fleet.Accelerator),
	}); err != nil {
		return err
	}
	go v.measureUntil(ctx)
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(tls.NewListener(listener, configuration)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// announce prints the address, and leaves it in the data folder for whoever looks for a running one.
func (v *vcenter) announce(out io.Writer, where address) error {
	line, err := json.Marshal(where)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if err := os.WriteFile(filepath.Join(v.options.Data, "vcenter.json"), line, 0o600); err != nil {
		return err
	}
	_, err = out.Write(line)
	return err
}

// routes is the simulator's own set of paths, with ours before it.
func (v *vcenter) routes(where *url.URL, password string, configuration *tls.Config) http.Handler {
	service, registry := v.service, v.registry()
	service.Listen = &url.URL{Scheme: where.Scheme, Host: where.Host, Path: where.Path, User: url.UserPassword(v.options.User, password)}
	service.TLS = configuration
	service.RegisterSDK(registry, registry.Path+"/vimService")
	mux := service.ServeMux
	mux.HandleFunc(registry.Path+"/vimServiceVersions.xml", service.ServiceVersions)
	mux.HandleFunc("/folder/", v.serveFolder)
	mux.HandleFunc("/nfc/", v.serveNFC)
	mux.HandleFunc(adminPath+"/faults", v.injections.serve)
	mux.HandleFunc(adminPath+"/", v.serveEstate)
	mux.HandleFunc("/about", service.About)

	sessions := registry.SessionManager()
	sessions.ServiceHostName = where.Host
	sessions.TLS = func() *tls.Config { return configuration }
	registry.OptionManager().UpdateOptions(&types.UpdateOptions{ChangedValue: []types.BaseOptionValue{
		&types.OptionValue{Key: "vcsim.server.url", Value: where.String()},
	}})
	return &front{vcenter: v, next: mux, password: password}
}

func (v *vcenter) serviceInstance() *simulator.ServiceInstance {
	return v.registry().Get(vim25.ServiceInstance).(*simulator.ServiceInstance)
}
