package main

import (
	"bytes"
	"crypto/subtle"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
)

const maxRequestSize = 64 << 20

// firstCall finds the name of the method that a SOAP request calls.
var firstCall = regexp.MustCompile(`<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)`)

// named finds the objects of the kinds we keep that a request names.
var named = regexp.MustCompile(`type="(VirtualMachine|Folder|ClusterComputeResource|CustomFieldsManager)"[^>]*>([\w-]+)<`)

// reading finds the methods that change nothing.
var reading = regexp.MustCompile(`^(Retrieve|Wait|Query|Find|Create(Filter|PropertyCollector|ContainerView)$|Destroy(PropertyFilter|PropertyCollector|View)$|Log(in|out)$)`)

// front stands before the simulator: it knows who may come, injects trouble, and lets nobody see what is not yet kept.
type front struct {
	vcenter  *vcenter
	next     http.Handler
	password string
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer f.die()
	var touched []types.ManagedObjectReference
	method := r.Method + " /" + strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 2)[0]
	if r.URL.Path == "/sdk" && r.Method == http.MethodPost {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestSize))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if found := firstCall.FindSubmatch(body); found != nil {
			method = string(found[1])
		}
		if !reading.MatchString(method) {
			touched = references(body)
		}
	}
	if !f.welcome(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="VMware HTTP server"`)
		http.Error(w, "Log in first.", http.StatusUnauthorized)
		return
	}
	if f.vcenter.injections.take(method, actionDropBefore) != nil {
		panic(http.ErrAbortHandler)
	}
	if delay := f.vcenter.injections.take(method, actionDelay); delay != nil {
		delay.wait()
	}
	drop := f.vcenter.injections.take(method, actionDropReply) != nil
	f.next.ServeHTTP(&keeper{ResponseWriter: w, vcenter: f.vcenter, drop: drop, touched: touched}, r)
}

func references(body []byte) []types.ManagedObjectReference {
	var refs []types.ManagedObjectReference
	for _, found := range named.FindAllSubmatch(body, -1) {
		refs = append(refs, types.ManagedObjectReference{Type: string(found[1]), Value: string(found[2])})
	}
	return refs
}

// die ends the process over a bug: the simulator's locks would stay locked, and clients would wait for ever.
func (f *front) die() {
	if failed := recover(); failed != nil {
		if failed == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
			panic(failed)
		}
		log.Fatalf("a request panicked: %v\n%s", failed, debug.Stack())
	}
}

// welcome tells whether a request may pass. SOAP calls are judged by the simulator, leases by the secret in their URL.
func (f *front) welcome(r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, "/folder") && !strings.HasPrefix(r.URL.Path, adminPath) {
		return true
	}
	if user, password, ok := r.BasicAuth(); ok {
		return user == f.vcenter.options.User && subtle.ConstantTimeCompare([]byte(password), []byte(f.password)) == 1
	}
	return strings.HasPrefix(r.URL.Path, "/folder") && f.session(r)
}

const currentTime = `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><CurrentTime xmlns="urn:vim25">` +
	`<_this type="ServiceInstance">ServiceInstance</_this></CurrentTime></Body></Envelope>`

// session asks the simulator for the time with the request's cookie, which only a session that is logged in is told.
func (f *front) session(r *http.Request) bool {
	probe := httptest.NewRequest(http.MethodPost, "/sdk", strings.NewReader(currentTime))
	for _, cookie := range r.Cookies() {
		probe.AddCookie(&http.Cookie{Name: cookie.Name, Value: strings.Trim(cookie.Value, `"`)})
	}
	answer := httptest.NewRecorder()
	f.next.ServeHTTP(answer, probe)
	return answer.Code == http.StatusOK
}

// keeper keeps what has changed before the first byte of an answer tells of it.
type keeper struct {
	http.ResponseWriter
	vcenter *vcenter
	touched []types.ManagedObjectReference
	drop    bool
	kept    bool
}

// WriteHeader implements http.ResponseWriter.
func (k *keeper) WriteHeader(status int) {
	k.keep()
	k.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (k *keeper) Write(data []byte) (int, error) {
	k.keep()
	return k.ResponseWriter.Write(data)
}

func (k *keeper) keep() {
	if k.kept {
		return
	}
	k.kept = true
	for _, ref := range k.touched {
		k.vcenter.store.mark(ref) // the simulator does not tell of all it changes
	}
	k.vcenter.store.flush()
	if k.drop {
		panic(http.ErrAbortHandler)
	}
}
