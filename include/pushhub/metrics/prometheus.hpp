#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <pushhub/hub_stats.hpp>

namespace pushhub {

/// The figures of a hub in the text format of Prometheus, for an answer of onHttp:
///
///     response.contentType = "text/plain; version=0.0.4";
///     response.body = pushhub::prometheusText(hub.stats());
///
/// `labels` go to each figure, such as `endpoint="orders"`, written as the format wants them.
inline std::string prometheusText(const HubStats& stats, std::string_view labels = {}) {
    std::string text;
    const auto value = [&](std::string_view name, std::string_view label, double number) {
        text.append("pushhub_").append(name);
        if (!labels.empty() || !label.empty()) {
            text.append("{").append(labels);
            text.append(labels.empty() || label.empty() ? "" : ",").append(label).append("}");
        }
        // Whole numbers as such; std::to_string would write six decimals.
        const auto whole = static_cast<std::uint64_t>(number);
        text.append(" ").append(number == static_cast<double>(whole) ? std::to_string(whole)
                                                                     : std::to_string(number));
        text.append("\n");
    };
    const auto family = [&](std::string_view name, std::string_view type, std::string_view help) {
        text.append("# HELP pushhub_").append(name).append(" ").append(help);
        text.append("\n# TYPE pushhub_").append(name).append(" ").append(type).append("\n");
    };
    const auto single = [&](std::string_view name, std::string_view type, std::string_view help,
                            auto number) {
        family(name, type, help);
        value(name, {}, static_cast<double>(number));
    };
    single("sessions", "gauge", "Open sessions.", stats.sessions);
    single("users", "gauge", "Users with at least one session.", stats.users);
    single("slow_sessions", "gauge", "Sessions whose socket takes no more.", stats.slowSessions);
    single("queued_bytes", "gauge", "Bytes in the queues of all sessions.", stats.queuedBytes);
    single("loop_lag_seconds", "gauge", "How late the event loops are.",
           static_cast<double>(stats.loopLag.count()) / 1e6);

    family("handshakes_total", "counter", "Handshakes by outcome.");
    const auto handshakes = [&](std::string_view outcome, std::uint64_t number) {
        value("handshakes_total", outcome, static_cast<double>(number));
    };
    handshakes("outcome=\"accepted\"", stats.handshakesAccepted);
    handshakes("outcome=\"unauthorized\"", stats.handshakesUnauthorized);
    handshakes("outcome=\"forbidden\"", stats.handshakesForbidden);
    handshakes("outcome=\"user_limit\"", stats.handshakesOverUserLimit);
    handshakes("outcome=\"unavailable\"", stats.handshakesUnavailable);
    handshakes("outcome=\"other\"", stats.handshakesRefusedOtherwise);
    handshakes("outcome=\"tls_failed\"", stats.handshakesTlsFailed);

    family("refusals_total", "counter", "Refused clients by HTTP status.");
    for (std::size_t i = 0; i < stats.refusals.counts.size(); ++i) {
        std::string label = "status=\"";
        label.append(i == Refusals::statuses.size() ? "other"
                     : Refusals::statuses[i] == 0   ? "none"
                                                    : std::to_string(Refusals::statuses[i]));
        value("refusals_total", label.append("\""), static_cast<double>(stats.refusals.counts[i]));
    }

    family("sessions_closed_total", "counter", "Sessions that have ended, by who ended them.");
    const auto closed = [&](std::string_view by, std::uint64_t number) {
        value("sessions_closed_total", by, static_cast<double>(number));
    };
    closed("by=\"peer\"", stats.closedByPeer);
    closed("by=\"host\"", stats.closedByHost);
    closed("by=\"hub\"", stats.closedByHub);
    closed("by=\"network\"", stats.closedByNetwork);

    single("messages_in_total", "counter", "Messages from clients.", stats.messagesIn);
    single("bytes_in_total", "counter", "Bytes from clients.", stats.bytesIn);
    single("messages_out_total", "counter", "Messages delivered.", stats.messagesOut);
    single("bytes_out_total", "counter", "Bytes delivered.", stats.bytesOut);

    family("messages_lost_total", "counter", "Messages that did not go out, by reason.");
    const auto lost = [&](std::string_view reason, std::uint64_t number) {
        value("messages_lost_total", reason, static_cast<double>(number));
    };
    lost("reason=\"refused\"", stats.refusedMessages);
    lost("reason=\"dropped\"", stats.droppedMessages);
    lost("reason=\"conflated\"", stats.conflatedMessages);
    single("bytes_dropped_total", "counter", "Bytes dropped.", stats.droppedBytes);
    return text;
}

}  // namespace pushhub
