#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>

namespace pushhub::test {

/// A hub in memory that writes down what its hooks are told, in order. A test may add code of its
/// own to each hook.
class RecordedHub {
public:
    using Hub = PushHub<LoopbackTransport>;
    using ClientPtr = std::shared_ptr<LoopbackClient>;

    explicit RecordedHub(const Options& options = {}) : hub(options) { record(); }
    RecordedHub(RecordedHub& sharesListenerOf, const Options& options)
        : hub(sharesListenerOf.hub, options) {
        record();
    }

    /// Starts a hub for use at once.
    RecordedHub& started() {
        hub.start();
        return *this;
    }

    void poll() { hub.transport().poll(); }
    void advance(std::chrono::milliseconds time) { hub.transport().advance(time); }

    /// An open session of that user.
    ClientPtr connect(std::string_view userId) {
        auto client = hub.transport().connect("/websocket/" + std::string(userId));
        poll();
        return client;
    }

    std::size_t count(std::string_view event) const {
        std::size_t n = 0;
        for (const std::string& one : events) {
            n += one.compare(0, event.size(), event) == 0 ? 1 : 0;
        }
        return n;
    }

    // What has happened: "open USER", "message USER TEXT", "binary USER BYTES", "close USER CODE",
    // "error USER" or "error -".
    std::vector<std::string> events;
    std::vector<SessionPtr> opened;
    std::vector<CloseInfo> closes;
    std::vector<std::pair<std::error_code, std::string>> errors;

    std::function<void(const SessionPtr&)> whenOpened;
    std::function<void(const SessionPtr&, const Message&)> whenMessage;
    std::function<void(const SessionPtr&, const CloseInfo&)> whenClosed;
    std::function<void(const SessionPtr&)> whenError;

    Hub hub;

private:
    void record() {
        hub.onOpen([this](const SessionPtr& session) {
            events.push_back("open " + session->userId());
            opened.push_back(session);
            if (whenOpened) {
                whenOpened(session);
            }
        });
        hub.onMessage([this](const SessionPtr& session, const Message& message) {
            const bool text = message.type == MessageType::text;
            events.push_back((text ? "message " : "binary ") + session->userId() + " " +
                             std::string(message.data));
            if (whenMessage) {
                whenMessage(session, message);
            }
        });
        hub.onClose([this](const SessionPtr& session, const CloseInfo& info) {
            events.push_back("close " + session->userId() + " " +
                             std::to_string(static_cast<unsigned>(info.code)));
            closes.push_back(info);
            if (whenClosed) {
                whenClosed(session, info);
            }
        });
        hub.onError(
            [this](const SessionPtr& session, std::error_code error, std::string_view what) {
                events.push_back("error " + (session ? session->userId() : "-"));
                errors.emplace_back(error, what);
                if (whenError) {
                    whenError(session);
                }
            });
    }
};

/// The body of what a client was answered over HTTP; empty before its head is complete.
inline std::string bodyOf(const RecordedHub::ClientPtr& client) {
    const std::string& response = client->response();
    const std::size_t end = response.find("\r\n\r\n");
    return end == std::string::npos ? std::string() : response.substr(end + 4);
}

}  // namespace pushhub::test
