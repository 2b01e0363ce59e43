"""The metadata service: what guests ask of 169.254.169.254, in OpenStack's form and in EC2's."""
