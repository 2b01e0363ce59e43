package guest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const commandTimeout = 20 * time.Second

// ErrGone is returned when the guest's QEMU is not there any more.
var ErrGone = errors.New("the guest's QEMU is gone")

// monitor is a connection to QEMU's machine protocol.
type monitor struct {
	socket net.Conn
	next   int
	mutex  sync.Mutex
	waits  map[int]chan answer
	closed chan struct{}
}

type answer struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	ID    *int   `json:"id"`
	Event string `json:"event"`
}

// dial connects to the monitor of the guest in folder, and leaves the protocol's negotiation mode.
func dial(folder string) (*monitor, error) {
	// A socket's path is limited to 107 bytes, a data folder's is not: go through the folder's descriptor.
	handle, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	socket, err := net.Dial("unix", filepath.Join(fmt.Sprintf("/proc/self/fd/%d", handle.Fd()), socketName))
	if err != nil {
		return nil, err
	}
	m := &monitor{socket: socket, waits: map[int]chan answer{}, closed: make(chan struct{})}
	go m.read()
	if _, err := m.execute("qmp_capabilities", nil); err != nil {
		socket.Close()
		return nil, err
	}
	return m, nil
}

func (m *monitor) read() {
	lines := bufio.NewScanner(m.socket)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var got answer
		if json.Unmarshal(lines.Bytes(), &got) != nil || got.ID == nil {
			continue
		}
		m.mutex.Lock()
		wait := m.waits[*got.ID]
		delete(m.waits, *got.ID)
		m.mutex.Unlock()
		if wait != nil {
			wait <- got
		}
	}
	m.socket.Close()
	close(m.closed)
}

// execute runs one command and returns its answer.
func (m *monitor) execute(command string, arguments map[string]any) (json.RawMessage, error) {
	wait := make(chan answer, 1)
	m.mutex.Lock()
	m.next++
	id := m.next
	m.waits[id] = wait
	m.mutex.Unlock()

	request := map[string]any{"execute": command, "id": id}
	if arguments != nil {
		request["arguments"] = arguments
	}
	text, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	if _, err := m.socket.Write(append(text, '\n')); err != nil {
		return nil, ErrGone
	}
	select {
	case got := <-wait:
		if got.Error != nil {
			return nil, fmt.Errorf("QEMU refused %s: %s", command, got.Error.Desc)
		}
		return got.Return, nil
	case <-m.closed:
		return nil, ErrGone
	case <-time.After(commandTimeout):
		return nil, fmt.Errorf("QEMU did not answer %s within %s", command, commandTimeout)
	}
}
