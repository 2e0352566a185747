#pragma once

// JSON business messages, for hosts that want them: the only part of pushhub that needs RapidJSON.

#include <pushhub/json/error.hpp>
#include <pushhub/json/message.hpp>
#include <pushhub/json/router.hpp>
#include <pushhub/json/uuid.hpp>
