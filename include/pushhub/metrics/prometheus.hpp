#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pushhub/hub_stats.hpp>
#include <pushhub/protocol/utf8.hpp>

namespace pushhub {
namespace detail {

/// One line of a family: the value of the family's label, and the number.
struct PrometheusSample {
    template <class Integer, std::enable_if_t<std::is_integral_v<Integer>, int> = 0>
    PrometheusSample(std::string label, Integer number)
        : labelValue(std::move(label)), value(std::to_string(number)) {}

    /// In seconds. Not std::to_string of a double, which follows the locale.
    PrometheusSample(std::string label, std::chrono::microseconds duration)
        : labelValue(std::move(label)) {
        const auto micros =
            static_cast<std::uint64_t>((std::max)(std::int64_t{0}, std::int64_t{duration.count()}));
        const std::string fraction = std::to_string(1'000'000 + micros % 1'000'000);
        value = std::to_string(micros / 1'000'000) + '.' + fraction.substr(1);
    }

    std::string labelValue;
    std::string value;
};

/// A metric, and how to take its samples from the figures of a hub.
struct PrometheusFamily {
    std::string_view name;
    std::string_view type;
    std::string_view help;
    std::string_view label;  ///< Distinguishes the samples. Empty: there is one sample.
    std::vector<PrometheusSample> (*samples)(const HubStats&);
};

/// Every metric of a hub, in the order of the text. Names get the prefix `pushhub_`.
inline const std::vector<PrometheusFamily>& prometheusFamilies() {
    using Stats = HubStats;
    using Samples = std::vector<PrometheusSample>;
    static const std::vector<PrometheusFamily> families = {
        {"sessions", "gauge", "Open sessions.", "",
         [](const Stats& stats) {
             return Samples{{"", stats.sessions}};
         }},
        {"users", "gauge", "Users with at least one session.", "",
         [](const Stats& stats) {
             return Samples{{"", stats.users}};
         }},
        {"slow_sessions", "gauge", "Sessions whose socket accepts no more data at the moment.", "",
         [](const Stats& stats) {
             return Samples{{"", stats.slowSessions}};
         }},
        {"queued_bytes", "gauge", "Bytes in the queues of all sessions.", "",
         [](const Stats& stats) {
             return Samples{{"", stats.queuedBytes}};
         }},
        {"loop_lag_seconds", "gauge", "Delay of the event loops.", "",
         [](const Stats& stats) {
             return Samples{{"", stats.loopLag}};
         }},
        {"handshakes_total", "counter", "Handshakes by outcome.", "outcome",
         [](const Stats& stats) {
             return Samples{{"accepted", stats.handshakesAccepted},
                            {"unauthorized", stats.handshakesUnauthorized},
                            {"forbidden", stats.handshakesForbidden},
                            {"user_limit", stats.handshakesOverUserLimit},
                            {"unavailable", stats.handshakesUnavailable},
                            {"other", stats.handshakesRefusedOtherwise},
                            {"tls_failed", stats.handshakesTlsFailed}};
         }},
        {"refusals_total", "counter", "Refused clients by HTTP status.", "status",
         [](const Stats& stats) {
             Samples samples;
             for (std::size_t i = 0; i < stats.refusals.counts.size(); ++i) {
                 const int status = i < Refusals::statuses.size() ? Refusals::statuses[i] : -1;
                 samples.emplace_back(status < 0    ? "other"
                                      : status == 0 ? "none"
                                                    : std::to_string(status),
                                      stats.refusals.counts[i]);
             }
             return samples;
         }},
        {"sessions_closed_total", "counter", "Ended sessions by the side that ended them.", "by",
         [](const Stats& stats) {
             return Samples{{"peer", stats.closedByPeer},
                            {"host", stats.closedByHost},
                            {"hub", stats.closedByHub},
                            {"network", stats.closedByNetwork}};
         }},
        {"messages_in_total", "counter", "Messages from clients.", "",
         [](const Stats& stats) {
             return Samples{{"", stats.messagesIn}};
         }},
        {"bytes_in_total", "counter", "Bytes from clients.", "",
         [](const Stats& stats) {
             return Samples{{"", stats.bytesIn}};
         }},
        {"messages_out_total", "counter", "Messages delivered.", "",
         [](const Stats& stats) {
             return Samples{{"", stats.messagesOut}};
         }},
        {"bytes_out_total", "counter", "Bytes delivered.", "",
         [](const Stats& stats) {
             return Samples{{"", stats.bytesOut}};
         }},
        {"messages_lost_total", "counter", "Messages that were not delivered, by reason.", "reason",
         [](const Stats& stats) {
             return Samples{{"refused", stats.refusedMessages},
                            {"dropped", stats.droppedMessages},
                            {"conflated", stats.conflatedMessages}};
         }},
        {"bytes_dropped_total", "counter", "Bytes of dropped messages.", "",
         [](const Stats& stats) {
             return Samples{{"", stats.droppedBytes}};
         }},
    };
    return families;
}

/// Labels as name and escaped value, sorted by name.
using PrometheusLabels = std::vector<std::pair<std::string, std::string>>;

[[noreturn]] inline void refusePrometheusLabels(std::string_view labels, std::string_view reason) {
    throw std::invalid_argument("prometheusText: labels '" + std::string(labels) +
                                "': " + std::string(reason));
}

inline bool isPrometheusLabelName(std::string_view name) noexcept {
    const auto isLetter = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    };
    // Names that begin with two underscores are Prometheus's own.
    return !name.empty() && isLetter(name.front()) && name.substr(0, 2) != "__" &&
           std::all_of(name.begin(), name.end(),
                       [&](char c) { return isLetter(c) || (c >= '0' && c <= '9'); });
}

/// Parses `name="value",…`. Throws std::invalid_argument if it is not that.
inline PrometheusLabels parsePrometheusLabels(std::string_view text) {
    if (!protocol::isValidUtf8(text)) {
        throw std::invalid_argument("prometheusText: labels that are not UTF-8");
    }
    PrometheusLabels labels;
    std::string_view rest = text;
    const auto skipBlanks = [&] {
        rest.remove_prefix((std::min)(rest.find_first_not_of(" \t"), rest.size()));
    };
    const auto expect = [&](char c) {
        skipBlanks();
        if (rest.empty() || rest.front() != c) {
            refusePrometheusLabels(text, R"(expected the form name="value",name="value")");
        }
        rest.remove_prefix(1);
    };
    for (skipBlanks(); !rest.empty(); skipBlanks()) {
        const std::size_t nameEnd = (std::min)(rest.find_first_of(" \t=\",{}"), rest.size());
        const std::string_view name = rest.substr(0, nameEnd);
        if (!isPrometheusLabelName(name)) {
            refusePrometheusLabels(text, "'" + std::string(name) + "' is not a label name");
        }
        rest.remove_prefix(nameEnd);
        expect('=');
        expect('"');
        std::size_t end = 0;
        for (; end < rest.size() && rest[end] != '"'; ++end) {
            const char c = rest[end];
            if (c == '\n') {
                refusePrometheusLabels(text, R"(a line feed in a value is written \n)");
            }
            if (c == '\\' && (++end == rest.size() || std::string_view("\\\"n").find(rest[end]) ==
                                                          std::string_view::npos)) {
                refusePrometheusLabels(text, R"(a backslash in a value is written \\)");
            }
        }
        labels.emplace_back(name, rest.substr(0, end));
        rest.remove_prefix(end);
        expect('"');
        skipBlanks();
        if (!rest.empty()) {
            expect(',');
        }
    }
    std::sort(labels.begin(), labels.end());
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const std::string& name = labels[i].first;
        if (i > 0 && labels[i - 1].first == name) {
            refusePrometheusLabels(text, "'" + name + "' is there twice");
        }
        for (const PrometheusFamily& family : prometheusFamilies()) {
            if (family.label == name) {
                refusePrometheusLabels(
                    text, "'" + name + "' is a label of pushhub_" + std::string(family.name));
            }
        }
    }
    return labels;
}

}  // namespace detail

/// A label for `prometheusText`, `name="value"`, with any text as value:
/// `prometheusLabel("tenant", name)`. Join several with commas. Throws std::invalid_argument if
/// the name is not one of Prometheus, or the value is not UTF-8.
inline std::string prometheusLabel(std::string_view name, std::string_view value) {
    if (!detail::isPrometheusLabelName(name)) {
        throw std::invalid_argument("prometheusLabel: '" + std::string(name) +
                                    "' is not a label name");
    }
    if (!protocol::isValidUtf8(value)) {
        throw std::invalid_argument("prometheusLabel: the value of '" + std::string(name) +
                                    "' is not UTF-8");
    }
    std::string label(name);
    label += "=\"";
    for (const char c : value) {
        if (c == '\\' || c == '"') {
            label += '\\';
        }
        if (c == '\n') {
            label += "\\n";
        } else {
            label += c;
        }
    }
    return label + '"';
}

/// The figures of one or more hubs for Prometheus. Add those of several hubs and convert the sum:
/// the format requires all samples of a metric together, so texts of single hubs cannot be
/// concatenated. One object belongs to one thread at a time.
class PrometheusText {
public:
    /// Empty, for sums in a loop.
    PrometheusText() = default;

    /// See `prometheusText`.
    PrometheusText(const HubStats& stats, std::string_view labels)
        : hubs_{{stats, detail::parsePrometheusLabels(labels)}} {}

    /// Adds the figures of other hubs. Throws std::invalid_argument, and changes nothing, if two
    /// hubs have the same labels: their samples would be indistinguishable.
    PrometheusText& operator+=(const PrometheusText& other) {
        for (const Hub& hub : other.hubs_) {
            for (const Hub& present : hubs_) {
                if (hub.labels == present.labels) {
                    throw std::invalid_argument("prometheusText: two hubs with the labels '" +
                                                join(hub.labels) +
                                                "', expected some that tell them apart");
                }
            }
        }
        std::vector<Hub> sum = hubs_;
        sum.insert(sum.end(), other.hubs_.begin(), other.hubs_.end());
        hubs_ = std::move(sum);
        return *this;
    }

    friend PrometheusText operator+(PrometheusText left, const PrometheusText& right) {
        left += right;
        return left;
    }

    /// The text in Prometheus's exposition format, version 0.0.4.
    std::string str() const {
        std::string text;
        if (hubs_.empty()) {
            return text;
        }
        for (const detail::PrometheusFamily& family : detail::prometheusFamilies()) {
            const std::string name = "pushhub_" + std::string(family.name);
            text.append("# HELP ").append(name).append(" ").append(family.help).append("\n");
            text.append("# TYPE ").append(name).append(" ").append(family.type).append("\n");
            for (const Hub& hub : hubs_) {
                for (const detail::PrometheusSample& sample : family.samples(hub.stats)) {
                    detail::PrometheusLabels labels = hub.labels;
                    if (!family.label.empty()) {
                        labels.emplace_back(family.label, sample.labelValue);
                    }
                    text.append(name);
                    if (!labels.empty()) {
                        text.append("{").append(join(labels)).append("}");
                    }
                    text.append(" ").append(sample.value).append("\n");
                }
            }
        }
        return text;
    }

    operator std::string() const { return str(); }

    /// Deleted because a second hub appended to text is not valid: add to a PrometheusText, and
    /// append `str()` to metrics of the application.
    friend void operator+=(std::string& text, const PrometheusText& hubs) = delete;

private:
    struct Hub {
        HubStats stats;
        detail::PrometheusLabels labels;
    };

    static std::string join(const detail::PrometheusLabels& labels) {
        std::string text;
        for (const auto& [name, value] : labels) {
            text.append(text.empty() ? "" : ",").append(name).append("=\"").append(value) += '"';
        }
        return text;
    }

    std::vector<Hub> hubs_;
};

/// The figures of a hub in the text format of Prometheus, for a response of onHttp:
///
///     response.contentType = "text/plain; version=0.0.4";
///     response.body = pushhub::prometheusText(hub.stats());
///
/// `labels` are added to each sample, such as `endpoint="orders"`; see `prometheusLabel` for values
/// that need escapes. Several hubs need different labels and are added:
///
///     response.body = pushhub::prometheusText(orders.stats(), R"(endpoint="orders")") +
///                     pushhub::prometheusText(prices.stats(), R"(endpoint="prices")");
///
/// Throws std::invalid_argument if `labels` is not a list of labels, or has a label of pushhub's
/// own
/// (`outcome`, `by`, `reason`).
inline PrometheusText prometheusText(const HubStats& stats, std::string_view labels = {}) {
    return {stats, labels};
}

}  // namespace pushhub
