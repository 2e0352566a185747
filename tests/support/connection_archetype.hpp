#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <pushhub/path_template.hpp>
#include <pushhub/session.hpp>
#include <pushhub/transport/connection.hpp>

namespace pushhub::test {

/// The least that a connection needs of a loop. It keeps the commands it is given.
class LoopArchetype final : public LoopContext {
public:
    using LoopContext::submit;
    bool submit(Command* commands, std::size_t count) override {
        for (std::size_t i = 0; i < count; ++i) {
            submitted.push_back(std::move(commands[i]));
        }
        return true;
    }
    void catchUp() override {}
    void giveTurn(Connection&) override {}
    bool onLoop() const noexcept override { return true; }
    std::chrono::steady_clock::time_point now() const noexcept override { return {}; }
    const Options& listenerOptions() const noexcept override { return options_; }
    bool takesHttp() const noexcept override { return true; }
    void routeHandshake(Connection&, HttpRequest) override {}
    void refused(const Connection&, int, std::string_view, const HttpRequest*) noexcept override {}
    void connectionOpened(Connection&) override {}
    void connectionLeft(Connection&) noexcept override {}
    void connectionEnded(Connection&) noexcept override {}

    std::vector<Command> submitted;

private:
    Options options_;
};

/// The least that a transport must supply: a socket that takes everything.
class ConnectionArchetype final : public Connection {
public:
    using Connection::Connection;
    std::string remoteAddress() const override { return "192.0.2.1:1234"; }

private:
    std::size_t writeSome(const WriteBuffer* buffers, std::size_t count,
                          std::error_code&) noexcept override {
        std::size_t size = 0;
        for (std::size_t i = 0; i < count; ++i) {
            size += buffers[i].size;
        }
        return size;
    }
    void waitWritable() override {}
    void shutdownSend() noexcept override {}
    void closeSocket() noexcept override {}
};

class HandlerArchetype final : public TransportHandler {
public:
    const Options& options() const noexcept override { return options_; }
    const PathTemplate& path() const noexcept override { return path_; }
    std::shared_ptr<const void> hooks() const noexcept override { return nullptr; }
    std::shared_ptr<detail::HubCounters> counters() const noexcept override {
        return std::make_shared<detail::HubCounters>();
    }
    bool onHandshake(PendingHandshake&) override { return false; }
    bool takesHttp() const noexcept override { return true; }
    std::optional<HttpResponse> onHttp(const HttpRequest&) override { return {}; }
    void onOpen(Connection&) noexcept override {}
    void onFirstMessage(Connection&, const Message&) override {}
    void onMessage(Connection&, const Message&) noexcept override {}
    void onRefused(const Refusal&) noexcept override {}
    void onConnectionFailed(const Connection&, std::string_view,
                            std::string_view) noexcept override {}
    void onDropped(Connection&, const Dropped&) noexcept override {}
    void onDrain(Connection&) noexcept override {}
    void onClose(Connection&, const CloseInfo&) noexcept override {}
    void onError(Connection*, std::error_code, std::string_view) noexcept override {}

private:
    Options options_;
    const PathTemplate path_{options_.path};
};

/// Makes sessions that belong to no hub.
class SessionMaker {
public:
    explicit SessionMaker(const Options& options = {},
                          const std::string& path = "/websocket/{userId}")
        : loop(detail::makeRef<LoopArchetype>()),
          channel_(detail::makeRef<Channel>(handler_, options)),
          path_(std::make_shared<const PathTemplate>(path)) {}

    SessionPtr operator()(const std::string& userId, std::vector<std::string> params = {}) {
        auto connection = detail::makeRef<ConnectionArchetype>(loop, SessionId(++lastId_));
        connection->setChannel(channel_);
        return std::make_shared<Session>(std::move(connection), userId, path_, std::move(params),
                                         HttpRequest(), SessionData());
    }

    const detail::RefPtr<LoopArchetype> loop;

private:
    HandlerArchetype handler_;
    const detail::RefPtr<Channel> channel_;
    const std::shared_ptr<const PathTemplate> path_;
    std::uint64_t lastId_ = 0;
};

}  // namespace pushhub::test
