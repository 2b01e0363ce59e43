package guest

import "fmt"

// AllVLANs is the VLAN of a port group that hands on all tags.
const AllVLANs = 4095

// Plug connects a guest's network adapters to the world outside its QEMU.
type Plug interface {
	// Netdev returns the -netdev of an adapter; its id is net<Key>.
	Netdev(nic NIC) (string, error)
	// Connect is called when QEMU has made the adapter.
	Connect(nic NIC) error
	// Update is called when the VLAN or the rules of a connected adapter are others.
	Update(nic NIC) error
	// Disconnect is called when the adapter was taken out of a running guest.
	Disconnect(nic NIC) error
	// DisconnectAll is called when a guest has ended.
	DisconnectAll(guest string) error
}

// Unplugged gives every adapter a hub inside its own QEMU: the guest sees a link, and nobody at the other end.
type Unplugged struct{}

// Netdev implements Plug.
func (Unplugged) Netdev(nic NIC) (string, error) {
	return fmt.Sprintf("hubport,id=net%d,hubid=%d", nic.Key, nic.Key), nil
}

// Connect implements Plug.
func (Unplugged) Connect(NIC) error { return nil }

// Update implements Plug.
func (Unplugged) Update(NIC) error { return nil }

// Disconnect implements Plug.
func (Unplugged) Disconnect(NIC) error { return nil }

// DisconnectAll implements Plug.
func (Unplugged) DisconnectAll(string) error { return nil }
