function [eao, curve] = get_eao(overlaps, codes, lengths, sequence, low, high)
% GET_EAO  Expected average overlap of the reset protocol (Kristan et al., VOT 2015 to 2019).
%
%   eao = get_eao(overlaps, codes, lengths, sequence, low, high)
%
%   overlaps  F x 1, of all frames of all runs one after another; NaN where there is no region
%   codes     F x 1: 1 start, 2 failure, 0 skipped, -1 a region
%   lengths   K x 1, frames of each run
%   sequence  K x 1, the sequence that a run is of, counted from 1
%   low, high lengths of sequences (in frames) over which the expected overlap is averaged: 100, 356 for VOT2018
%
%   curve (1 x frames of the longest sequence) is the expected overlap of a sequence of each length.
%
%   A fragment goes from a start to the next one. After a failure it is continued with zeros to the longest sequence;
%   where the failure came too late for a new start it ends with its sequence. Runs of one sequence share its weight.
%   Runs in MATLAB and in Octave.

    restart = 5;  % frames from a failure to the next start
    longest = max(lengths);
    repetitions = accumarray(sequence(:), 1);
    total = zeros(1, longest);
    weights = zeros(1, longest);
    done = 0;
    for k = 1:numel(lengths)
        n = lengths(k);
        run = reshape(overlaps(done + (1:n)), 1, n);
        run(isnan(run)) = 0;
        failures = reshape(find(codes(done + (1:n)) == 2), 1, []) - 1;
        starts = [0, failures(failures + restart <= n) + restart];
        done = done + n;
        for s = 1:numel(starts)
            first = starts(s);
            weight = 1 / repetitions(sequence(k));
            fragment = nan(1, longest);
            if s < numel(starts)
                next = starts(s + 1);
                fragment(:) = 0;
                fragment(1:next - first) = run(first + 1:next);
                if next == n  % the new start would come right after the last frame
                    weight = weight * (n - first) / (n - first + 1);
                end
            else
                fragment(1:n - first) = run(first + 1:n);
            end
            alive = ~isnan(fragment);
            means = cumsum([0, fragment(2:end)]) ./ max(0:longest - 1, 1);
            total(alive) = total(alive) + weight * means(alive);
            weights(alive) = weights(alive) + weight;
        end
    end
    curve = total ./ weights;
    curve(1) = 1;
    part = curve(low:min(high, longest));
    eao = mean(part(~isnan(part)));
end
