#pragma once

// A hub under soak: its hooks keep the ledgers.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/asio_transport.hpp>

#include "soak/ledger.hpp"
#include "support/harness.hpp"

namespace pushhub::soak {

/// Handshakes that some thread decides later.
class Decisions {
public:
    void add(HandshakePtr handshake, std::string userId, std::chrono::milliseconds wait) {
        const std::lock_guard<std::mutex> lock(mutex_);
        waiting_.push_back({std::move(handshake), std::move(userId), Clock::now() + wait});
    }

    void decideSome(Report& report) {
        std::vector<Decision> due;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            const auto now = Clock::now();
            const auto first = std::partition(waiting_.begin(), waiting_.end(),
                                              [&](const auto& one) { return one.due > now; });
            std::move(first, waiting_.end(), std::back_inserter(due));
            waiting_.erase(first, waiting_.end());
        }
        for (Decision& one : due) {
            Acceptance acceptance;
            acceptance.userId = one.userId;
            const bool late = static_cast<bool>(one.handshake->accept(std::move(acceptance)));
            report.count(late ? "decided too late" : "decided on another thread");
        }
    }

    bool empty() const {
        const std::lock_guard<std::mutex> lock(mutex_);
        return waiting_.empty();
    }

private:
    struct Decision {
        HandshakePtr handshake;
        std::string userId;
        Clock::time_point due;
    };
    mutable std::mutex mutex_;
    std::vector<Decision> waiting_;
};

/// What the soak test does with a hub, of whatever transport.
class Endpoint {
public:
    virtual ~Endpoint() = default;
    virtual test::SocketClient connect() = 0;
    virtual std::uint16_t port() const = 0;
    virtual void start() = 0;
    virtual void stop(std::chrono::milliseconds deadline) = 0;
    virtual HubStats stats() const = 0;
    virtual SendResult sendAll(std::string_view text, const PushOptions& push) = 0;
    virtual SendResult sendAllExcept(const SessionPtr& session, std::string_view text) = 0;
    virtual SendResult sendOne(std::string_view user, std::string_view text,
                               const PushOptions& push) = 0;
    virtual SendResult sendMore(const std::vector<std::string>& users, std::string_view text) = 0;

    const std::string name;
    const bool own;  // see Ledger
    const bool tls;

    std::string target(const Ledger& ledger, std::string_view authentication) const {
        return "/" + name + "/" + userOf(ledger) + "?id=" + std::to_string(ledger.id) +
               "&auth=" + std::string(authentication);
    }
    std::string userOf(const Ledger& ledger) const {
        return own ? "u" + std::to_string(ledger.id) : "g" + std::to_string(ledger.id % groups);
    }

    static constexpr std::uint64_t groups = 20;

protected:
    Endpoint(std::string itsName, bool isOwn, bool isTls)
        : name(std::move(itsName)), own(isOwn), tls(isTls) {}
};

template <class Transport>
class HubEndpoint final : public Endpoint {
public:
    using Hub = PushHub<Transport>;

    /// On the listener of `first`, if there is one.
    HubEndpoint(std::string itsName, bool isOwn, bool isTls, OverflowPolicy whenQueueFull,
                HubEndpoint* first, Book& book, Decisions& decisions, Report& report)
        : Endpoint(std::move(itsName), isOwn, isTls),
          book_(book),
          decisions_(decisions),
          report_(report) {
        Options options;
        options.port = 0;
        options.path = "/" + name + "/{userId}";
        options.loops = 2;
        options.maxMessageSize = 16 * 1024;
        options.maxQueueBytes = 256 * 1024;
        options.maxQueueMessages = 400;
        options.maxTotalQueueBytes = 4 * 1024 * 1024;
        options.whenQueueFull = whenQueueFull;
        options.stallTimeout = std::chrono::seconds(4);
        options.pingInterval = std::chrono::seconds(2);
        options.pongTimeout = std::chrono::seconds(4);
        options.handshakeTimeout = std::chrono::seconds(2);
        options.decisionTimeout = std::chrono::seconds(1);
        options.closeTimeout = std::chrono::seconds(2);
        options.maxInboundMessagesPerSecond = 500;
        if (first) {
            hub_.emplace(*first->hub_, options);
        } else {
            hub_.emplace(options);
        }
        setHooks();
    }

    Hub& hub() noexcept { return *hub_; }
    std::uint64_t toldDropped() const noexcept { return toldDropped_; }

    test::SocketClient connect() override { return test::Harness<Transport>::connectSocket(*hub_); }
    std::uint16_t port() const override { return hub_->port(); }
    void start() override { hub_->start(); }
    void stop(std::chrono::milliseconds deadline) override {
        hub_->stop(deadline);
        report_.check(hub_->sessionCount() == 0 && hub_->userCount() == 0 && openNow_ == 0,
                      name + ": a session outlived stop");
    }
    HubStats stats() const override { return hub_->stats(); }
    SendResult sendAll(std::string_view text, const PushOptions& push) override {
        return hub_->sendAll(text, push);
    }
    SendResult sendAllExcept(const SessionPtr& session, std::string_view text) override {
        return hub_->sendAllExcept(session, text);
    }
    SendResult sendOne(std::string_view user, std::string_view text,
                       const PushOptions& push) override {
        return hub_->sendOne(user, text, push);
    }
    SendResult sendMore(const std::vector<std::string>& users, std::string_view text) override {
        return hub_->sendMore(users, text);
    }

private:
    void setHooks() {
        hub_->onHandshake([this](const HandshakePtr& handshake) {
            const std::string how = handshake->query("auth").value_or("");
            const std::string user = handshake->userId();
            if (how == "no") {
                handshake->reject(401);
            } else if (how == "later") {
                decisions_.add(handshake, user, std::chrono::milliseconds(user.back() * 3));
            } else if (how == "never") {
                decisions_.add(handshake, user, std::chrono::seconds(2));
            } else {
                handshake->accept({user});
            }
        });
        hub_->onOpen([this](const SessionPtr& session) {
            ++openNow_;
            const LedgerPtr ledger = book_.find(std::stoull(session->query("id").value()));
            if (!ledger) {
                report_.fail("a session opened that nobody asked for any more");
                return;
            }
            ++ledger->opened;
            session->template emplaceData<LedgerPtr>(ledger);
            answer(session, *ledger);
            book_.opened({ledger, session});
        });
        hub_->onMessage([this](const SessionPtr& session, std::string_view text) {
            if (Ledger* const ledger = living(session, "onMessage")) {
                report_.count("messages from clients");
                if (text == "bye") {
                    session->close(CloseCode::normal, "bye");
                } else {
                    answer(session, *ledger);
                }
            }
        });
        hub_->onDropped([this](const SessionPtr& session, const Dropped& dropped) {
            living(session, "onDropped");
            toldDropped_ += dropped.messages;
        });
        hub_->onDrain([this](const SessionPtr& session) {
            living(session, "onDrain");
            report_.count("queues drained");
        });
        hub_->onClose([this](const SessionPtr& session, const CloseInfo& info) {
            --openNow_;
            if (Ledger* const ledger = living(session, "onClose")) {
                ledger->end = info;
                book_.closed(*session->template data<LedgerPtr>());
                ++ledger->closed;
            }
        });
        hub_->onError([this](const SessionPtr&, std::error_code error, std::string_view) {
            report_.count("onError: " + error.message());
        });
    }

    Ledger* living(const SessionPtr& session, const char* hook) {
        const LedgerPtr* const ledger = session->template data<LedgerPtr>();
        if (!ledger) {
            return nullptr;
        }
        report_.check((*ledger)->opened == 1 && (*ledger)->closed == 0,
                      std::string(hook) + " of a session that is not open");
        return ledger->get();
    }

    // On the session's loop.
    static void answer(const SessionPtr& session, Ledger& ledger) {
        PushOptions push;
        push.whenQueueFull = OverflowPolicy::dropNewest;
        const auto text = messageOf(stream::hook, ledger.sent[stream::hook] + 1, 10);
        const std::size_t accepted = session->send(text, push).accepted;
        ledger.sent[stream::hook] += accepted;
        ledger.accepted += accepted;
    }

    Book& book_;
    Decisions& decisions_;
    Report& report_;
    std::atomic<int> openNow_{0};
    std::atomic<std::uint64_t> toldDropped_{0};
    std::optional<Hub> hub_;
};

}  // namespace pushhub::soak
