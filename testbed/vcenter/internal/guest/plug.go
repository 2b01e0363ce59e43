package guest

import "fmt"

// Plug connects a guest's network adapters to the world outside its QEMU.
type Plug interface {
	// Netdev returns the -netdev of an adapter; its id is net<Key>.
	Netdev(nic NIC) (string, error)
}

// Unplugged gives every adapter a hub inside its own QEMU: the guest sees a link, and nobody at the other end.
type Unplugged struct{}

// Netdev implements Plug.
func (Unplugged) Netdev(nic NIC) (string, error) {
	return fmt.Sprintf("hubport,id=net%d,hubid=%d", nic.Key, nic.Key), nil
}
