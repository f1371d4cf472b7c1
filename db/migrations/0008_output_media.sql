-- SPDX-License-Identifier: Apache-2.0
-- What a look at a result found. NULL: stored before there was one, or it could not be had.

ALTER TABLE outputs
    ADD width integer CHECK (width > 0),
    ADD height integer CHECK (height > 0),
    ADD duration_ms bigint CHECK (duration_ms >= 0),
    ADD has_audio boolean,
    ADD codec text;
