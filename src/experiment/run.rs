//! Works through the cells, and writes the results after each.

use super::arm::Arm;
use super::cell::CellWork;
use super::collect;
use super::error::ExperimentError;
use super::grid::Cell;
use super::pace::Pace;
use super::results::Results;
use super::sets::write_sets;
use super::work::{Experiment, Watch};
use crate::interrupt::Interrupt;

impl Experiment {
    /// Trains and evaluates what is not done yet, cell by cell, and writes the results after each.
    ///
    /// # Errors
    /// [`ExperimentError::Interrupted`]; any error of a run. Finished work is kept, and the same call resumes
    /// from there.
    pub fn run(
        &self,
        interrupt: &Interrupt,
        watch: &Watch<'_>,
    ) -> Result<Results, ExperimentError> {
        let _lock = self.lock()?;
        (watch.on_start)();
        write_sets(&self.config.output, &self.sets)?;
        for arm in &self.arms {
            arm.facts.write(&self.config.output, &arm.name)?;
        }
        let pace = Pace::new(&self.cells)?;
        for (idx, cell) in self.cells.iter().enumerate() {
            let work = CellWork {
                experiment: self,
                arm: self.arm_of(cell),
                cell,
                idx,
                interrupt,
                watch,
                pace: &pace,
            };
            work.run()?;
            collect::write(&self.config)?;
        }
        collect::write(&self.config)
    }

    fn arm_of(&self, cell: &Cell) -> &Arm {
        let found = self.arms.iter().find(|arm| arm.name == cell.arm);
        found.expect("cells are made of these arms")
    }
}
