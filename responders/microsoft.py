"""Signing in to Microsoft's APIs as an application, which Entra ID and Defender do alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from responders.oauth import Tokens
from responders.product import ProductConfig, Secret, Url, segment

if TYPE_CHECKING:
    from responders.product import Product


class MicrosoftConfig(ProductConfig):
    """An application of one tenant."""

    tenant: str
    client_id: str
    client_secret: Secret
    login_url: Url = "https://login.microsoftonline.com"


def tokens(product: Product[Any], config: MicrosoftConfig, scope: str) -> Tokens:
    """The application's tokens for one API, which `scope` names."""
    url = f"{config.login_url}/{segment(config.tenant)}/oauth2/v2.0/token"
    return Tokens(product, url, config, scope)
