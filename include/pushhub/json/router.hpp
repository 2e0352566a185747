#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <rapidjson/document.h>

#include <pushhub/detail/shared_function.hpp>
#include <pushhub/fwd.hpp>
#include <pushhub/json/detail/parse.hpp>
#include <pushhub/json/detail/scan.hpp>
#include <pushhub/json/error.hpp>
#include <pushhub/protocol/utf8.hpp>

namespace pushhub::json {

/// Limits of a `Router`; each message is checked against them before anything is built from it.
struct RouterOptions {
    std::string field = "type";  ///< The member whose text selects the handler; not empty.
    std::size_t maxSize = std::size_t{64} * 1024;  ///< Maximum message size, bytes: 1 to 2^30.
    std::size_t maxDepth = 32;  ///< Maximum nesting of objects and arrays: 1 to 1000.
};

/// Why a message reached no handler.
struct RouteError {
    std::error_code code;    ///< A `json::Errc`.
    std::size_t offset = 0;  ///< Byte in the message; for the object as a whole, of its '{'.
    std::string reason;      ///< For a log: always one line of ASCII of limited length.
};

/// The text of an object's member, if it is there and is a string; of several the first. The view
/// lives as long as `object`; it may contain NUL. Linear in the number of members, never throws.
inline std::optional<std::string_view> stringField(const rapidjson::Value& object,
                                                   std::string_view name) noexcept {
    if (!object.IsObject()) {
        return std::nullopt;
    }
    for (auto it = object.MemberBegin(); it != object.MemberEnd(); ++it) {
        if (std::string_view(it->name.GetString(), it->name.GetStringLength()) == name) {
            if (!it->value.IsString()) {
                return std::nullopt;
            }
            return std::string_view(it->value.GetString(), it->value.GetStringLength());
        }
    }
    return std::nullopt;
}

/// Passes each inbound message, a JSON object such as `{"msg":"…","type":"add"}`, to the handler
/// named by its "type". It is a hook of the hub:
///
///     json::Router router;
///     router.on("add", [](const SessionPtr& session, const rapidjson::Value& object) { … });
///     hub.onMessage(router);   // copies; std::ref(router) does not, and must outlive the hub
///
/// Threads: set it up before the hub starts, in one thread; afterwards it is constant. Several
/// loops call it at the same time, so handlers must guard shared data (one session's messages never
/// overlap).
///
/// Errors: a message that is not JSON, too large, too deep, not an object, without the field, or of
/// an unhandled type goes to the onError handler. Without one, the call throws a std::system_error
/// with the same code, position and reason in what(); the hub passes exceptions of a hook to its
/// own onError. Neither harms the loop or the session. An exception from a handler is handled in
/// the same way.
///
/// JSON is RFC 8259, with no byte order mark, numbers that fit a double, and no half surrogate
/// pairs. An integer from -2^63 to 2^64 - 1 without fraction and exponent arrives as an integer,
/// every other number, `-0` among them, as the nearest double. Numbers beyond the range of double
/// are refused, and so are exponents of more than three digits. Handlers must check for other
/// repeated members themselves: RapidJSON finds the first.
class Router {
public:
    /// The object is valid during the call only, and its content comes from the peer: `object["x"]`
    /// asserts that the member exists, so use `stringField` or FindMember and check the type.
    /// Copies of a handler, and of its router, call the same one.
    using Handler =
        pushhub::detail::SharedFunction<void(const SessionPtr&, const rapidjson::Value& object)>;
    using ErrorHandler =
        pushhub::detail::SharedFunction<void(const SessionPtr&, const RouteError&)>;

    /// Throws std::invalid_argument if an option is out of its range.
    explicit Router(RouterOptions options = {}) : options_(std::move(options)) {
        if (options_.field.empty() || !protocol::isValidUtf8(options_.field)) {
            throw std::invalid_argument("RouterOptions.field '" + options_.field +
                                        "' is not a member's name");
        }
        checkRange("maxSize", options_.maxSize, std::size_t{1} << 30U);
        checkRange("maxDepth", options_.maxDepth, 1000);
    }

    /// Calls `handler` for messages whose field equals `type`, byte for byte. Throws
    /// std::invalid_argument if the type already has a handler (two parts of a program that claim
    /// the same message are a mistake), or if the handler is empty or the type is not UTF-8.
    Router& on(std::string type, Handler handler) {
        if (!protocol::isValidUtf8(type)) {
            throw std::invalid_argument("Router.on: the type " + quoted(type) + " is not UTF-8");
        }
        requireHandler("on", handler);
        if (routes_.count(type) != 0) {
            throw std::invalid_argument("Router.on: the type " + quoted(type) +
                                        " has a handler already");
        }
        routes_[std::move(type)] = std::move(handler);
        return *this;
    }

    /// Calls `handler` for messages whose type no other handler has; replaces the previous one.
    Router& onDefault(Handler handler) {
        requireHandler("onDefault", handler);
        default_ = std::move(handler);
        return *this;
    }

    /// Calls `handler` for messages that reach no other handler; replaces the previous one.
    Router& onError(ErrorHandler handler) {
        requireHandler("onError", handler);
        error_ = std::move(handler);
        return *this;
    }

    /// Routes one message. Linear in its size, with at most about 20 bytes of memory per byte of
    /// it, freed on return.
    void operator()(const SessionPtr& session, std::string_view text) const {
        if (text.size() > options_.maxSize) {
            return fail(session, Errc::tooLarge, options_.maxSize,
                        "The message has " + std::to_string(text.size()) + " bytes, the limit is " +
                            std::to_string(options_.maxSize) + ".");
        }
        if (const auto problem = detail::scan(text, options_.maxDepth)) {
            return fail(session, problem->code, problem->offset, std::string(problem->reason));
        }

        // A usual message fits this and then allocates no memory for its values.
        alignas(std::max_align_t) char buffer[4096];
        rapidjson::MemoryPoolAllocator<> pool(buffer, sizeof buffer, std::size_t{16} * 1024);
        rapidjson::Document document(&pool);
        if (const auto problem = detail::parse(text, document)) {
            return fail(session, problem->code, problem->offset, std::string(problem->reason));
        }
        route(session, document, text.find_first_not_of(" \t\r\n"));
    }

private:
    static void checkRange(const char* name, std::size_t value, std::size_t most) {
        if (value < 1 || value > most) {
            throw std::invalid_argument("RouterOptions." + std::string(name) + " is " +
                                        std::to_string(value) + ", not from 1 to " +
                                        std::to_string(most));
        }
    }

    template <class Function>
    static void requireHandler(const char* name, const Function& handler) {
        if (!handler) {
            throw std::invalid_argument("Router." + std::string(name) + ": the handler is empty");
        }
    }

    /// Peers choose this text: it must not forge log lines or flood the log.
    static std::string quoted(std::string_view text) {
        constexpr std::size_t maxLength = 40;
        std::string result = "'";
        for (const char c : text.substr(0, maxLength)) {
            result += c >= ' ' && c <= '~' ? c : '?';
        }
        return result + (text.size() > maxLength ? "...'" : "'");
    }

    void route(const SessionPtr& session, const rapidjson::Value& object,
               std::size_t offset) const {
        if (!object.IsObject()) {
            return fail(session, Errc::notAnObject, offset, "The message is not an object.");
        }
        const rapidjson::Value* type = nullptr;
        for (auto it = object.MemberBegin(); it != object.MemberEnd(); ++it) {
            if (std::string_view(it->name.GetString(), it->name.GetStringLength()) ==
                options_.field) {
                // Readers differ on which one counts, so neither may decide.
                if (type != nullptr) {
                    return fail(session, Errc::repeatedField, offset,
                                "The member " + quoted(options_.field) + " stands there twice.");
                }
                type = &it->value;
            }
        }
        if (type == nullptr) {
            return fail(session, Errc::missingField, offset,
                        "The member " + quoted(options_.field) + " is missing.");
        }
        if (!type->IsString()) {
            return fail(session, Errc::fieldNotString, offset,
                        "The member " + quoted(options_.field) + " is not a string.");
        }
        const std::string_view name(type->GetString(), type->GetStringLength());
        const auto found = routes_.find(name);
        if (found != routes_.end()) {
            found->second(session, object);
        } else if (default_) {
            default_(session, object);
        } else {
            fail(session, Errc::unknownType, offset, "No handler for " + quoted(name) + ".");
        }
    }

    void fail(const SessionPtr& session, Errc code, std::size_t offset, std::string reason) const {
        if (!error_) {
            throw std::system_error(code, "at byte " + std::to_string(offset) + ": " + reason);
        }
        error_(session, RouteError{code, offset, std::move(reason)});
    }

    RouterOptions options_;
    std::map<std::string, Handler, std::less<>> routes_;
    Handler default_;
    ErrorHandler error_;
};

}  // namespace pushhub::json
