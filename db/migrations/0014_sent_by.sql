-- SPDX-License-Identifier: Apache-2.0
-- How long a submission whose answer was lost may still have been sent.

ALTER TABLE generations
    ADD sent_by timestamptz; -- submitting, and nobody is at it: when its submission had left this house at the latest
