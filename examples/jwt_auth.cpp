// A push server that accepts clients with a JSON Web Token: in the Authorization header, or from a
// browser as a subprotocol, `new WebSocket(url, ["pushhub", "bearer." + base64url(token)])`.
//
// The token's subject is the user, and the session ends when the token does.

#include <pushhub/auth/auth.hpp>
#include <pushhub/pushhub.hpp>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "jwt.hpp"

namespace {

constexpr std::string_view usage = R"(jwt_auth: push server that lets in who has a JSON Web Token

  --secret SECRET     tokens are signed with HS256 and this secret, of 32 bytes or more
  --public-key FILE   tokens are signed with RS256; FILE holds the public key in PEM
  --audience NAME     the audience of the tokens (pushhub)
  --port PORT         port, 0 for any free one (8081)
  --make-token USER   print a token for that user, good for an hour, and end (with --secret)

A secret on a command line is seen by all users of the machine: this is for trying things out.
)";

struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Flags {
    std::string secret;
    std::string publicKey;
    std::string audience = "pushhub";
    std::string makeToken;
    std::uint16_t port = 8081;
};

Flags parseFlags(int argc, char** argv) {
    Flags flags;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view name = argv[i];
        if (i + 1 == argc) {
            throw UsageError(std::string(name) + " is no flag, or needs a value");
        }
        const std::string_view value = argv[i + 1];
        if (name == "--secret") {
            flags.secret = value;
        } else if (name == "--public-key") {
            flags.publicKey = value;
        } else if (name == "--audience") {
            flags.audience = value;
        } else if (name == "--make-token") {
            flags.makeToken = value;
        } else if (name == "--port") {
            const char* const end = value.data() + value.size();
            const auto [stop, error] = std::from_chars(value.data(), end, flags.port);
            if (error != std::errc() || stop != end) {
                throw UsageError("--port takes a number from 0 to 65535");
            }
        } else {
            throw UsageError(std::string(name) + " is no flag");
        }
    }
    if (flags.secret.empty() == flags.publicKey.empty()) {
        throw UsageError("either --secret or --public-key is needed");
    }
    return flags;
}

std::string readFile(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw UsageError("--public-key: the file cannot be read");
    }
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string makeToken(const Flags& flags) {
    for (const char c : flags.makeToken + flags.audience) {
        if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20) {
            throw UsageError("quotes, backslashes and control characters are too much for a demo");
        }
    }
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
    return jwt::signHs256(flags.secret, R"({"sub":")" + flags.makeToken + R"(","aud":")" +
                                            flags.audience + R"(","exp":)" +
                                            std::to_string(seconds + 3600) + "}");
}

void serve(const Flags& flags) {
    const auto verifier = std::make_shared<const jwt::Verifier>(
        flags.secret.empty() ? jwt::Verifier::rs256(readFile(flags.publicKey), flags.audience)
                             : jwt::Verifier::hs256(flags.secret, flags.audience));

    pushhub::Options options;
    options.port = flags.port;
    pushhub::PushHub<> hub{options};

    namespace auth = pushhub::auth;
    hub.onHandshake(auth::Authenticator(
        {auth::bearerHeader(), auth::subprotocolToken("pushhub")},
        [verifier](const std::string& token) -> std::optional<auth::Identity> {
            auto claims = verifier->verify(token, std::chrono::system_clock::now());
            if (!claims) {
                return std::nullopt;
            }
            return auth::Identity{std::move(claims->subject), claims->expires};
        },
        "pushhub"));
    hub.onOpen(
        [](pushhub::SessionPtr session) { session->send("hello, user " + session->userId()); });
    hub.onMessage([](pushhub::SessionPtr session, std::string_view text) { session->send(text); });

    hub.start();
    std::cout << "listening on ws://" << options.address << ':' << hub.port() << options.path
              << std::endl;
    hub.run();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const Flags flags = parseFlags(argc, argv);
        if (flags.makeToken.empty()) {
            serve(flags);
        } else if (flags.secret.empty()) {
            throw UsageError("--make-token needs --secret");
        } else {
            std::cout << makeToken(flags) << '\n';
        }
        return 0;
    } catch (const UsageError& error) {
        std::cerr << "jwt_auth: " << error.what() << "\n\n" << usage;
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "jwt_auth: " << error.what() << '\n';
        return 1;
    }
}
