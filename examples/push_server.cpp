// A push server for experiments: it serves a page on GET /, prints one line per event, and pushes
// lines from standard input to the connected users.
//
// It trusts the user id in the path, which is acceptable for a demo. A real service must
// authenticate its clients.

#include <pushhub/pushhub.hpp>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <mutex>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <poll.h>
#include <unistd.h>

// Path of the page; the build sets it, --page overrides it.
#ifndef PUSHHUB_DEMO_PAGE
#define PUSHHUB_DEMO_PAGE "examples/browser/index.html"
#endif

namespace {

constexpr std::string_view usage = R"(push_server: WebSocket push server with a page to try it

  --host ADDRESS   address to listen on (127.0.0.1)
  --port PORT      port, 0 for any free one (8081)
  --path TEMPLATE  path of the endpoint (/websocket/{userId})
  --threads N      event loops, 0 for one per core (0)
  --page FILE      the page served on GET /
  --help           this text

Commands on standard input, each answered by one line:
  all TEXT              push to every session
  one USER TEXT         push to every session of one user
  more USER,USER TEXT   push to several users
  who                   who is connected
  quit                  stop, as SIGINT and SIGTERM do
)";

constexpr std::string_view commandList =
    "all TEXT | one USER TEXT | more USER,USER TEXT | who | quit";

struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// ---- printing ----------------------------------------------------------------------------------

// One line per call, whole even when several loops print at once.
void printLine(const std::string& line) {
    static std::mutex mutex;
    const std::lock_guard<std::mutex> lock(mutex);
    std::cout << line << '\n' << std::flush;
}

enum class Spaces { keep, escape };

// What a client sent must not move the terminal's cursor or forge a line of ours: control
// characters become \n, \x1b, … A field's value has its spaces escaped too, to stay one word.
std::string printable(std::string_view text, Spaces spaces) {
    std::string out;
    out.reserve(text.size());
    const auto escape = [&out](unsigned byte) {
        constexpr std::string_view hex = "0123456789abcdef";
        out += "\\x";
        out += hex[byte >> 4U];
        out += hex[byte & 0xfU];
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        const unsigned byte = static_cast<unsigned char>(text[i]);
        const unsigned next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
        if (byte == '\n') {
            out += "\\n";
        } else if (byte == '\r') {
            out += "\\r";
        } else if (byte == '\t') {
            out += "\\t";
        } else if (byte == '\\') {
            out += "\\\\";
        } else if (byte < 0x20 || byte == 0x7f || (byte == ' ' && spaces == Spaces::escape)) {
            escape(byte);
        } else if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {  // U+0080 to U+009F
            escape(byte);
            escape(next);
            ++i;
        } else {
            out += text[i];
        }
    }
    return out;
}

std::string field(std::string_view text) {
    return printable(text, Spaces::escape);
}

// The start of a long text, cut between two characters.
std::string excerpt(std::string_view text) {
    constexpr std::size_t most = 400;
    if (text.size() <= most) {
        return printable(text, Spaces::keep);
    }
    std::size_t end = most;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) {
        --end;
    }
    return printable(text.substr(0, end), Spaces::keep) + "…";
}

std::string describe(const pushhub::SessionPtr& session) {
    std::ostringstream out;
    out << "user=" << field(session->userId()) << " session=" << session->id();
    return out.str();
}

std::string describe(const pushhub::SendResult& result) {
    std::ostringstream out;
    out << "sent accepted=" << result.accepted << " refused=" << result.refused
        << " closing=" << result.closing << " offline=" << result.offline;
    if (result.error) {
        out << " error=" << result.error.message();
    }
    return out.str();
}

// ---- flags -------------------------------------------------------------------------------------

struct Flags {
    pushhub::Options options;
    std::string page = PUSHHUB_DEMO_PAGE;
    bool pageChosen = false;
    bool help = false;
};

unsigned parseNumber(std::string_view flag, std::string_view value, unsigned most) {
    unsigned number = 0;
    const char* const end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, number);
    if (value.empty() || error != std::errc{} || stop != end || number > most) {
        throw UsageError(std::string(flag) + ": '" + printable(value, Spaces::keep) +
                         "' is not a number from 0 to " + std::to_string(most));
    }
    return number;
}

Flags parseFlags(int argc, char** argv) {
    Flags flags;
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (argument == "--help" || argument == "-h") {
            flags.help = true;
            return flags;
        }
        const auto equals = argument.find('=');
        const std::string_view name = argument.substr(0, equals);
        if (name != "--host" && name != "--port" && name != "--path" && name != "--threads" &&
            name != "--page") {
            throw UsageError("'" + printable(argument, Spaces::keep) + "' is not a flag");
        }
        std::string_view value;
        if (equals != std::string_view::npos) {
            value = argument.substr(equals + 1);
        } else if (i + 1 < argc) {
            value = argv[++i];
        } else {
            throw UsageError(std::string(name) + " needs a value");
        }
        if (name == "--host") {
            flags.options.address = value;
        } else if (name == "--port") {
            flags.options.port = static_cast<std::uint16_t>(parseNumber(name, value, 65535));
        } else if (name == "--path") {
            flags.options.path = value;
        } else if (name == "--threads") {
            flags.options.loops = parseNumber(name, value, 256);
        } else {
            flags.page = value;
            flags.pageChosen = true;
        }
    }
    return flags;
}

// ---- the page ----------------------------------------------------------------------------------

std::optional<std::string> readFile(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file || content.empty()) {
        return std::nullopt;
    }
    return content;
}

pushhub::HttpResponse pageResponse(const std::string& page) {
    pushhub::HttpResponse response;
    response.contentType = "text/html; charset=utf-8";
    response.headers = {
        {"Cache-Control", "no-cache"},
        {"X-Content-Type-Options", "nosniff"},
        {"Content-Security-Policy",
         "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
         "img-src data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; "
         "frame-ancestors 'none'"},
    };
    response.body = page;
    return response;
}

// ---- commands ----------------------------------------------------------------------------------

// The text up to the first space, which is taken off `rest` together with that space.
std::string_view takeWord(std::string_view& rest) {
    const auto space = rest.find(' ');
    const std::string_view word = rest.substr(0, space);
    rest.remove_prefix(space == std::string_view::npos ? rest.size() : space + 1);
    return word;
}

std::vector<std::string> splitAtCommas(std::string_view list) {
    std::vector<std::string> parts;
    while (!list.empty()) {
        const auto comma = list.find(',');
        if (comma != 0) {
            parts.emplace_back(list.substr(0, comma));
        }
        list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    }
    return parts;
}

std::string describeUsers(const pushhub::PushHub<>& hub) {
    std::ostringstream out;
    out << "online users=" << hub.userCount() << " sessions=" << hub.sessionCount();
    for (const std::string& user : hub.userIds()) {
        out << ' ' << field(user) << ':' << hub.sessions(user).size();
    }
    return out.str();
}

// Executes one line of standard input. Returns false if the program should end.
bool runCommand(pushhub::PushHub<>& hub, std::string_view line) {
    if (!line.empty() && line.back() == '\r') {
        line.remove_suffix(1);
    }
    std::string_view rest = line;
    const std::string_view command = takeWord(rest);
    if (command.empty()) {
        return true;
    }
    if (command == "quit") {
        return false;
    }
    if (command == "who") {
        printLine(describeUsers(hub));
        return true;
    }
    if (command == "all" && !rest.empty()) {
        printLine(describe(hub.sendAll(rest)));
        return true;
    }
    if (command == "one" || command == "more") {
        const std::string_view target = takeWord(rest);
        if (!target.empty() && !rest.empty()) {
            printLine(describe(command == "one" ? hub.sendOne(target, rest)
                                                : hub.sendMore(splitAtCommas(target), rest)));
            return true;
        }
    }
    printLine("unknown command '" + excerpt(line) + "', known are: " + std::string(commandList));
    return true;
}

// ---- signals and standard input ----------------------------------------------------------------

// The handler does the one thing that is safe there: write a byte that the main loop waits for.
int signalPipeEnd = -1;

extern "C" void onSignal(int) {
    const int savedErrno = errno;
    const char byte = 0;
    // A full pipe means that the loop has been told already.
    const ssize_t ignored = ::write(signalPipeEnd, &byte, 1);
    static_cast<void>(ignored);
    errno = savedErrno;
}

int openSignalPipe() {
    int ends[2];
    if (::pipe(ends) != 0) {
        throw std::system_error(errno, std::generic_category(), "pipe");
    }
    signalPipeEnd = ends[1];
    std::signal(SIGINT, onSignal);
    std::signal(SIGTERM, onSignal);
    return ends[0];
}

// Reads commands until one of them, or a signal, ends the program. Standard input may end before.
void serveInput(pushhub::PushHub<>& hub, int signalPipe) {
    constexpr std::size_t longestLine = 1024 * 1024;
    std::string pending;
    bool skipping = false;  // the rest of a line that was too long
    pollfd waits[] = {{signalPipe, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    for (;;) {
        if (::poll(waits, 2, -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            throw std::system_error(errno, std::generic_category(), "poll");
        }
        if (waits[0].revents != 0) {
            return;
        }
        if (waits[1].revents == 0) {
            continue;
        }
        char buffer[4096];
        const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (got <= 0) {
            waits[1].fd = -1;  // poll leaves it out from here on
            printLine("input closed, still serving");
            continue;
        }
        pending.append(buffer, static_cast<std::size_t>(got));
        std::size_t begin = 0;
        for (std::size_t end; (end = pending.find('\n', begin)) != std::string::npos;
             begin = end + 1) {
            if (std::exchange(skipping, false)) {
                continue;
            }
            if (!runCommand(hub, std::string_view(pending).substr(begin, end - begin))) {
                return;
            }
        }
        pending.erase(0, begin);
        if (pending.size() > longestLine) {
            pending.clear();
            if (!std::exchange(skipping, true)) {
                printLine("a command longer than " + std::to_string(longestLine) +
                          " bytes was ignored");
            }
        }
    }
}

std::string hostForUrl(const std::string& address) {
    return address.find(':') == std::string::npos ? address : '[' + address + ']';
}

// ---- all together ------------------------------------------------------------------------------

int serve(const Flags& flags) {
    const std::optional<std::string> page = readFile(flags.page);
    if (!page && flags.pageChosen) {
        throw UsageError("--page: '" + flags.page + "' cannot be read");
    }
    pushhub::PushHub<> hub{flags.options};
    if (!page) {
        std::cerr << "push_server: no page at '" << flags.page
                  << "', name one with --page FILE; serving without\n";
    }

    hub.onOpen([&hub](pushhub::SessionPtr session) {
        printLine("open " + describe(session) + " sessions=" + std::to_string(hub.sessionCount()));
    });
    hub.onClose([&hub](pushhub::SessionPtr session, pushhub::CloseInfo why) {
        std::string line = "close " + describe(session) +
                           " code=" + std::to_string(static_cast<unsigned>(why.code)) +
                           " sessions=" + std::to_string(hub.sessionCount());
        if (!why.reason.empty()) {
            line += " reason=" + excerpt(why.reason);
        }
        printLine(line);
    });
    hub.onMessage([](pushhub::SessionPtr session, pushhub::Message message) {
        const bool isText = message.type == pushhub::MessageType::text;
        printLine("message " + describe(session) + " type=" + (isText ? "text" : "binary") +
                  " bytes=" + std::to_string(message.data.size()) +
                  (isText ? " text=" + excerpt(message.data) : std::string()));
    });
    hub.onError([](pushhub::SessionPtr session, std::error_code error, std::string_view what) {
        printLine("error " + (session ? describe(session) + ' ' : std::string()) +
                  excerpt(error.message()) + ": " + excerpt(what));
    });
    if (page) {
        hub.onHttp([response = pageResponse(*page)](const pushhub::HttpRequest& request)
                       -> std::optional<pushhub::HttpResponse> {
            if (request.path() == "/" || request.path() == "/index.html") {
                return response;
            }
            return std::nullopt;
        });
    }

    const int signalPipe = openSignalPipe();
    hub.start();
    const std::string authority =
        hostForUrl(flags.options.address) + ':' + std::to_string(hub.port());
    printLine("listening on ws://" + authority + flags.options.path);
    if (page) {
        printLine("page on http://" + authority + '/');
    }

    serveInput(hub, signalPipe);

    std::signal(SIGINT, SIG_DFL);  // a second Ctrl-C ends the program at once
    std::signal(SIGTERM, SIG_DFL);
    printLine("stopping sessions=" + std::to_string(hub.sessionCount()));
    hub.stop();
    printLine("stopped");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const Flags flags = parseFlags(argc, argv);
        if (flags.help) {
            std::cout << usage;
            return 0;
        }
        return serve(flags);
    } catch (const UsageError& error) {
        std::cerr << "push_server: " << error.what() << " (--help tells more)\n";
        return 2;
    } catch (const std::invalid_argument& error) {  // an option that the hub does not take
        std::cerr << "push_server: " << error.what() << " (--help tells more)\n";
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "push_server: " << error.what() << '\n';
        return 1;
    }
}
