"""What attacks are made on: servers that the tests of one module share."""

from tests.graphql.conftest import any_door as any_door
