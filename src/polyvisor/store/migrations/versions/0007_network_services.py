"""Security groups, address groups, routers, floating IPs, port forwarding, QoS policies and trunks"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision. It only adds: a program of the revision before works on it."""
    op.create_table(
        "address_group",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("addresses", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_group")),
    )
    with op.batch_alter_table("address_group", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_address_group_project_id"), ["project_id"], unique=False)

    op.create_table(
        "qos_policy",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_policy")),
    )
    with op.batch_alter_table("qos_policy", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_qos_policy_project_id"), ["project_id"], unique=False)

    op.create_table(
        "security_group",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("stateful", sa.Boolean(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_group")),
    )
    with op.batch_alter_table("security_group", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_security_group_project_id"), ["project_id"], unique=False)

    op.create_table(
        "qos_rule",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("policy_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("max_kbps", sa.Integer(), nullable=False),
        sa.Column("max_burst_kbps", sa.Integer(), nullable=False),
        sa.Column("dscp_mark", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["policy_id"], ["qos_policy.id"], name=op.f("fk_qos_rule_policy_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_rule")),
    )
    with op.batch_alter_table("qos_rule", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_qos_rule_policy_id"), ["policy_id"], unique=False)

    op.create_table(
        "security_group_rule",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("security_group_id", sa.String(length=36), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("ethertype", sa.String(length=8), nullable=False),
        sa.Column("protocol", sa.String(length=16), nullable=True),
        sa.Column("port_range_min", sa.Integer(), nullable=True),
        sa.Column("port_range_max", sa.Integer(), nullable=True),
        sa.Column("remote_ip_prefix", sa.String(length=64), nullable=True),
        sa.Column("remote_group_id", sa.String(length=36), nullable=True),
        sa.Column("remote_address_group_id", sa.String(length=36), nullable=True),
        sa.Column("normalized_cidr", sa.String(length=64), nullable=True),
        sa.Column("belongs_to_default_sg", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["remote_address_group_id"],
            ["address_group.id"],
            name=op.f("fk_security_group_rule_remote_address_group_id"),
        ),
        sa.ForeignKeyConstraint(
            ["remote_group_id"], ["security_group.id"], name=op.f("fk_security_group_rule_remote_group_id")
        ),
        sa.ForeignKeyConstraint(
            ["security_group_id"], ["security_group.id"], name=op.f("fk_security_group_rule_security_group_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_group_rule")),
    )
    with op.batch_alter_table("security_group_rule", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_security_group_rule_project_id"), ["project_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_security_group_rule_remote_address_group_id"), ["remote_address_group_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_security_group_rule_remote_group_id"), ["remote_group_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_security_group_rule_security_group_id"), ["security_group_id"], unique=False
        )

    op.create_table(
        "router",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("gateway_network_id", sa.String(length=36), nullable=True),
        sa.Column("gateway_port_id", sa.String(length=36), nullable=True),
        sa.Column("enable_snat", sa.Boolean(), nullable=False),
        sa.Column("routes", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["gateway_network_id"], ["network.id"], name=op.f("fk_router_gateway_network_id")),
        sa.ForeignKeyConstraint(["gateway_port_id"], ["port.id"], name=op.f("fk_router_gateway_port_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_router")),
        sa.UniqueConstraint("gateway_port_id", name=op.f("uq_router_gateway_port_id")),
    )
    with op.batch_alter_table("router", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_router_gateway_network_id"), ["gateway_network_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_router_project_id"), ["project_id"], unique=False)

    op.create_table(
        "trunk",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["port.id"], name=op.f("fk_trunk_port_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trunk")),
        sa.UniqueConstraint("port_id", name=op.f("uq_trunk_port_id")),
    )
    with op.batch_alter_table("trunk", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_trunk_project_id"), ["project_id"], unique=False)

    op.create_table(
        "floating_ip",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("floating_network_id", sa.String(length=36), nullable=False),
        sa.Column("floating_ip_address", sa.String(length=64), nullable=False),
        sa.Column("floating_port_id", sa.String(length=36), nullable=False),
        sa.Column("router_id", sa.String(length=36), nullable=True),
        sa.Column("port_id", sa.String(length=36), nullable=True),
        sa.Column("fixed_ip_address", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["floating_network_id"], ["network.id"], name=op.f("fk_floating_ip_floating_network_id")
        ),
        sa.ForeignKeyConstraint(["floating_port_id"], ["port.id"], name=op.f("fk_floating_ip_floating_port_id")),
        sa.ForeignKeyConstraint(["port_id"], ["port.id"], name=op.f("fk_floating_ip_port_id")),
        sa.ForeignKeyConstraint(["router_id"], ["router.id"], name=op.f("fk_floating_ip_router_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_floating_ip")),
        sa.UniqueConstraint("floating_port_id", name=op.f("uq_floating_ip_floating_port_id")),
        sa.UniqueConstraint(
            "port_id",
            "fixed_ip_address",
            "floating_network_id",
            name=op.f("uq_floating_ip_port_id_fixed_ip_address_floating_network_id"),
        ),
    )
    with op.batch_alter_table("floating_ip", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_floating_ip_floating_ip_address"), ["floating_ip_address"], unique=False)
        batch_op.create_index(batch_op.f("ix_floating_ip_floating_network_id"), ["floating_network_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_floating_ip_port_id"), ["port_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_floating_ip_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_floating_ip_router_id"), ["router_id"], unique=False)

    op.create_table(
        "trunk_sub_port",
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("trunk_id", sa.String(length=36), nullable=False),
        sa.Column("segmentation_type", sa.String(length=16), nullable=False),
        sa.Column("segmentation_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["port.id"], name=op.f("fk_trunk_sub_port_port_id")),
        sa.ForeignKeyConstraint(["trunk_id"], ["trunk.id"], name=op.f("fk_trunk_sub_port_trunk_id")),
        sa.PrimaryKeyConstraint("port_id", name=op.f("pk_trunk_sub_port")),
        sa.UniqueConstraint(
            "trunk_id",
            "segmentation_type",
            "segmentation_id",
            name=op.f("uq_trunk_sub_port_trunk_id_segmentation_type_segmentation_id"),
        ),
    )
    op.create_table(
        "port_forwarding",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("floating_ip_id", sa.String(length=36), nullable=False),
        sa.Column("protocol", sa.String(length=8), nullable=False),
        sa.Column("external_port", sa.String(length=11), nullable=False),
        sa.Column("internal_port", sa.String(length=11), nullable=False),
        sa.Column("internal_port_id", sa.String(length=36), nullable=False),
        sa.Column("internal_ip_address", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["floating_ip_id"], ["floating_ip.id"], name=op.f("fk_port_forwarding_floating_ip_id")),
        sa.ForeignKeyConstraint(["internal_port_id"], ["port.id"], name=op.f("fk_port_forwarding_internal_port_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_port_forwarding")),
    )
    with op.batch_alter_table("port_forwarding", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_port_forwarding_floating_ip_id"), ["floating_ip_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_port_forwarding_internal_port_id"), ["internal_port_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_port_forwarding_project_id"), ["project_id"], unique=False)


def downgrade() -> None:
    """Back to the one before."""
    with op.batch_alter_table("port_forwarding", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_port_forwarding_project_id"))
        batch_op.drop_index(batch_op.f("ix_port_forwarding_internal_port_id"))
        batch_op.drop_index(batch_op.f("ix_port_forwarding_floating_ip_id"))

    op.drop_table("port_forwarding")
    op.drop_table("trunk_sub_port")
    with op.batch_alter_table("floating_ip", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_floating_ip_router_id"))
        batch_op.drop_index(batch_op.f("ix_floating_ip_project_id"))
        batch_op.drop_index(batch_op.f("ix_floating_ip_port_id"))
        batch_op.drop_index(batch_op.f("ix_floating_ip_floating_network_id"))
        batch_op.drop_index(batch_op.f("ix_floating_ip_floating_ip_address"))

    op.drop_table("floating_ip")
    with op.batch_alter_table("trunk", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_trunk_project_id"))

    op.drop_table("trunk")
    with op.batch_alter_table("router", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_router_project_id"))
        batch_op.drop_index(batch_op.f("ix_router_gateway_network_id"))

    op.drop_table("router")
    with op.batch_alter_table("security_group_rule", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_security_group_rule_security_group_id"))
        batch_op.drop_index(batch_op.f("ix_security_group_rule_remote_group_id"))
        batch_op.drop_index(batch_op.f("ix_security_group_rule_remote_address_group_id"))
        batch_op.drop_index(batch_op.f("ix_security_group_rule_project_id"))

    op.drop_table("security_group_rule")
    with op.batch_alter_table("qos_rule", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_qos_rule_policy_id"))

    op.drop_table("qos_rule")
    with op.batch_alter_table("security_group", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_security_group_project_id"))

    op.drop_table("security_group")
    with op.batch_alter_table("qos_policy", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_qos_policy_project_id"))

    op.drop_table("qos_policy")
    with op.batch_alter_table("address_group", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_address_group_project_id"))

    op.drop_table("address_group")
