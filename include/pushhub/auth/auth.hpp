#pragma once

// Ready-made authentication, for hosts that include it: see docs/authentication.md.

#include <pushhub/auth/authenticator.hpp>
#include <pushhub/auth/base64url.hpp>
#include <pushhub/auth/ticket_office.hpp>
#include <pushhub/auth/token_sources.hpp>
