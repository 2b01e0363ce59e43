"""OVN and Open vSwitch on this machine for `polyvisor up`: what runs already is used, what is missing is started."""
