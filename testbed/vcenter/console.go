package main

import (
	"net"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// AcquireTicket tells where a running VM's console would be. No WebMKS server stands behind it: its protocol is not public.
func (m *machine) AcquireTicket(_ *simulator.Context, req *types.AcquireTicket) soap.HasFault {
	body := &methods.AcquireTicketBody{}
	host, port, err := net.SplitHostPort(m.vcenter.address)
	number, wrong := strconv.Atoi(port)
	switch {
	case req.TicketType != string(types.VirtualMachineTicketTypeWebmks):
		body.Fault_ = simulator.Fault("", &types.InvalidArgument{InvalidProperty: "ticketType"})
	case m.Runtime.PowerState != poweredOn:
		body.Fault_ = simulator.Fault("", m.wrongState(poweredOn))
	case err != nil || wrong != nil:
		body.Fault_ = simulator.Fault("", &types.InvalidState{})
	default:
		ticket := strings.ReplaceAll(uuid.NewString(), "-", "")[:16]
		body.Res = &types.AcquireTicketResponse{Returnval: types.VirtualMachineTicket{
			Ticket: ticket, CfgFile: m.Config.Files.VmPathName, Host: host, Port: int32(number), SslThumbprint: m.vcenter.thumbprint,
			Url: "wss://" + m.vcenter.address + "/ticket/" + ticket,
		}}
	}
	return body
}
